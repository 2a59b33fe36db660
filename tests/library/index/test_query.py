"""The search language finds creations by words and conditions."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.library.creation import Creation, CreationKind
from studio.library.library import Library
from studio.library.storage import writer
from tests.library import factories

MakeCreation = Callable[..., Creation]


@pytest.fixture
def five(library: Library, make_creation: MakeCreation) -> dict[str, Creation]:
    found = {
        "fox": make_creation("A red fox in the snow", seed=11),
        "forest": make_creation("Ein Wald, Öl auf Leinwand", seed=12),
        "cat": make_creation("雪の中の猫の絵", seed=13),
        "style": make_creation("", tool="style_transfer.restyle", style="Starry Night", seed=14),
        "text": library.add(
            writer.save_text(library.home, "Once upon a time a dragon slept.", factories.make_recipe("tale"))
        ),
    }
    library.tag(found["fox"].id, ["Winter", "deep blue"])
    library.rate(found["fox"].id, 5)
    library.rate(found["forest"].id, 3)
    library.star(found["cat"].id, True)
    return found


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "text style cat forest fox"),
        ("fox", "fox"),
        ("FO", "fox"),
        ("fo ", ""),
        ("red snow", "fox"),
        ("snow red", "fox"),
        ('"red fox"', "fox"),
        ('"fox red"', ""),
        ("ol", "forest"),
        ("öl", "forest"),
        ("猫", "cat"),
        ("猫の", "cat"),
        ("中の猫", "cat"),
        ("犬", ""),
        ("starry", "style"),
        ("dragon", "text"),
        ("restyle", "style"),
        ("tool:style", "style"),
        ("tool:diff", "text cat forest fox"),
        ("-tool:diff", "style"),
        ("tag:winter", "fox"),
        ('tag:"deep blue"', "fox"),
        ("tag:deep", ""),
        ("winter", "fox"),
        ("-tag:winter", "text style cat forest"),
        ("rating:5", "fox"),
        ("rating:>=3", "forest fox"),
        ("rating:<3", "text style cat"),
        ("is:starred", "cat"),
        ("-is:starred", "text style forest fox"),
        ("kind:text", "text"),
        ("seed:13", "cat"),
        ("before:2020-01-01", ""),
        ("after:2020", "text style cat forest fox"),
        ("fo rating:5", "fox"),
        ("fox rating:5", "fox"),
        ("rating:5 fo", "fox"),
        ("-fox", "text style cat forest"),
        ("-fox -dragon", "style cat forest"),
        ("nothing:here", ""),
        ("rating:many", ""),
        ("!!! ???", "text style cat forest fox"),
    ],
)
def test_queries(library: Library, five: dict[str, Creation], query: str, names: str) -> None:
    ids = [five[name].id for name in names.split()]
    assert library.find_ids(query) == ids
    assert [creation.id for creation in library.search(query)] == ids


def test_file_names_are_found(library: Library, five: dict[str, Creation]) -> None:
    creation = five["fox"]
    assert library.find_ids(Path(creation.path).stem) == [creation.id]
    assert library.find_ids(creation.id[:10]) == [creation.id]


def test_removed_tags_are_not_found(library: Library, five: dict[str, Creation]) -> None:
    library.tag(five["fox"].id, ["summer"])
    assert library.find_ids("tag:winter") == library.find_ids("winter") == []
    assert library.find_ids("tag:summer") == [five["fox"].id]


def test_trashed_and_hidden_creations_are_separate(library: Library, five: dict[str, Creation]) -> None:
    library.trash([five["fox"].id])
    assert library.find_ids("fox") == []
    assert library.find_ids("fox", trashed=True) == [five["fox"].id]
    assert library.find_ids(kind=CreationKind.TEXT) == [five["text"].id]
    assert library.find_ids(starred=True) == [five["cat"].id]


def test_results_continue_after_an_id(library: Library, make_creation: MakeCreation) -> None:
    ids = [make_creation().id for _ in range(7)][::-1]
    pages, last = [], None
    while page := library.search("fox", limit=3, before=last):
        pages.append([creation.id for creation in page])
        last = page[-1].id
    assert pages == [ids[:3], ids[3:6], ids[6:]]
    assert library.find_ids(limit=2) == ids[:2]


def test_any_text_is_a_valid_query(library: Library, five: dict[str, Creation]) -> None:
    chance = random.Random(2)
    parts = [
        "tag:",
        "tool:",
        "rating:>",
        "before:",
        '"',
        "-",
        "*",
        "NEAR(",
        " AND ",
        " OR NOT ",
        "^",
        "fox",
        "{",
        "seed:9",
        "\0",
        "\ud800",
    ]
    for _ in range(800):
        query = "".join(chance.choice([*parts, factories.make_text(chance)]) for _ in range(chance.randrange(6)))
        library.find_ids(query)
    library.find_ids("x " * 5_000)
    library.find_ids("before:99999-01-01 after:0001-01-01 seed:" + "9" * 50)
