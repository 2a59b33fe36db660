"""Character cards and lorebooks of other programs are read, and hostile ones cost one sentence."""

from __future__ import annotations

import base64
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from studio.core.card_texts import clean_text, fill_macros
from studio.core.character_cards import CharacterCard, find_card, parse_card, read_card
from studio.core.errors import BadInput
from studio.core.lorebooks import parse_lorebook, read_lorebook
from tests.fixtures.cards import BOOK, DATA, V1, V2, V3, WORLD, write_card_image


def parse(content: object) -> CharacterCard:
    card = parse_card(content)
    assert card is not None
    return card


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("content", [V1, V2, V3])
def test_all_versions_have_the_texts_of_the_character(content: dict[str, Any]) -> None:
    card = parse(content)
    assert card.name.startswith("Mira")
    assert card.description == DATA["description"]
    assert card.greetings[0] == DATA["first_mes"]


def test_an_image_prefers_the_newest_version(tmp_path: Path) -> None:
    assert read_card(write_card_image(tmp_path / "2.png", chara=V2)).name == "Mira"
    assert read_card(write_card_image(tmp_path / "3.png", chara=V2, ccv3=V3)).name == "Mira the Third"
    assert read_card(write_json(tmp_path / "1.json", V1)).name == "Mira"


def test_an_archive_has_its_card_at_the_top(tmp_path: Path) -> None:
    path = tmp_path / "mira.charx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", json.dumps(V3))
        archive.writestr("assets/icon/main.png", b"")
    assert read_card(path).name == "Mira the Third"


def test_the_system_prompt_has_its_parts_in_order_with_names() -> None:
    parts = {part.name: part.text for part in parse(V2).list_parts("Otto")}
    assert parts == {
        "system_prompt": "Stay in the valley.",
        "description": "Mira is a miller who never hurries Otto.",
        "personality": "Personality of Mira: calm",
        "scenario": "Scenario: A mill in winter.",
        "examples": "Examples of how Mira writes:\nOtto: Hello.\nMira: Sit down.",
        "lore": "It is winter, Otto.",
        "closing": "Answer in one paragraph.",
    }
    (first, *_) = parse(V1).list_parts("Otto")
    assert first.text == "Write Mira's next message in a conversation between Mira and Otto."


def test_greetings_and_lore_have_names() -> None:
    card = parse(V2)
    assert card.list_greetings("Otto") == ["*<b>Mira</b> looks up.* Come in, Otto.", "You are late, Otto."]
    assert card.list_lore("Otto") == [
        "river north, a b: It freezes early.",
        "mill, old mill: The mill of Mira stands still.",
    ]
    assert card.book.ignored == 1


def test_world_info_is_read(tmp_path: Path) -> None:
    assert read_lorebook(write_json(tmp_path / "a.json", WORLD)).list_lines("", "") == ["mill: It stands still."]
    assert read_lorebook(write_json(tmp_path / "b.json", {"spec": "lorebook_v3", "data": BOOK})).name == "The valley"


def test_other_macros_stay() -> None:
    assert fill_macros("{{ Char }} {{random:a,b}} {{time}}", "Mira", "Otto") == "Mira {{random:a,b}} {{time}}"


def test_names_are_not_read_as_patterns_or_macros() -> None:
    assert fill_macros("{{user}} and {{char}}", "{{user}}", r"\1 {{char}}") == r"\1 {{char}} and {{user}}"


def test_texts_lose_controls_and_broken_surrogates() -> None:
    assert clean_text("a\x1b[31m\0b\r\nc\td") == "a[31mb\nc\td"
    assert clean_text("a\ud800b").encode()
    assert clean_text(["a"]) == ""


@pytest.mark.parametrize(
    "content",
    [
        None, 7, "x", [], {}, {"name": "Mira"}, {"name": 7, "description": "a"}, {"name": " \n", "description": "a"},
        {"data": {"name": None}}, {"name": "Mira", "description": ["a"], "first_mes": {"b": 1}},
    ],
)  # fmt: skip
def test_what_is_no_card_is_none(content: object) -> None:
    assert parse_card(content) is None


def test_wrong_types_are_left_out() -> None:
    card = parse(
        {"name": "M" * 500, "description": "a", "alternate_greetings": {"a": 1}, "personality": 5, "creator": [],
         "character_book": {"entries": [7, None, {"keys": 5, "content": "x"}, {"keys": [1, {}, "a"], "content": "b",
                                                                             "insertion_order": float("nan")}]}}
    )  # fmt: skip
    assert len(card.name) == 100
    assert card.greetings == ()
    assert card.list_lore("") == ["a: b"]
    assert card.book.ignored == 1


@pytest.mark.parametrize(
    "entries", [None, 7, "x", {"0": 5}, [[[]]], {}, [{"insertion_order": 10**400, "content": "a"}]]
)
def test_odd_lorebooks_have_no_entries(entries: object) -> None:
    book = parse_lorebook({"entries": entries})
    assert book is None or book.entries == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("deep.json", b"[" * 200_000),
        ("deeper.json", b'{"data":' * 100_000),
        ("empty.json", b""),
        ("text.json", b"hello"),
        ("number.json", b'{"name": ' + b"9" * 5000 + b"}"),
        ("no.charx", b"PK\x03\x04"),
        ("list.json", b"[1, 2]"),
        ("cut.png", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXtchara\0"),
    ],
)
def test_a_hostile_file_costs_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadInput, match=name.replace(".", r"\.")):
        read_card(path)
    if path.suffix == ".json":
        with pytest.raises(BadInput, match=name.replace(".", r"\.")):
            read_lorebook(path)


def test_an_archive_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.charx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", b" " * (64 * 2**20))
    with pytest.raises(BadInput, match="not a character card"):
        read_card(path)


def test_damaged_base64_and_surrogates_in_an_image(tmp_path: Path) -> None:
    path = write_card_image(tmp_path / "a.png", chara={**V1, "name": "Mi\ud800ra"})
    card = find_card(path)
    assert card is not None
    assert card.name.encode()
    content = path.read_bytes()
    encoded = base64.b64encode(json.dumps({**V1, "name": "Mi\ud800ra"}).encode())
    path.write_bytes(content.replace(encoded[:40], b"*" * 40))
    with pytest.raises(BadInput):
        read_card(path)
