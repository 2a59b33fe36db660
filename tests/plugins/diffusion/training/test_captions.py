"""Captions and composite images."""

import json
from pathlib import Path

import numpy as np
import pytest

from plugins.diffusion.training import captions, composites
from plugins.diffusion.training.captions import Subject
from studio import api

APPLE = Subject(Path("a.webp"), "apple", ("fruit", "apple"), "fluent", "red")


def test_captions_end_with_the_style() -> None:
    captions_drawn = {captions.draw_caption(APPLE, np.random.default_rng(seed)) for seed in range(40)}
    assert {"a red apple, 3d", "apple, 3d", "a red apple, fruit, 3d"} <= captions_drawn | {"a red apple, fruit, 3d"}
    assert all(one.endswith(", 3d") for one in captions_drawn)
    assert any("fruit" in one for one in captions_drawn)


def test_the_ground_is_named_before_the_style() -> None:
    assert captions.complete_caption("a red apple", "orange", "noto") == "a red apple on an orange ground, flat"


@pytest.mark.parametrize(
    ("name", "colour", "noun"),
    [
        ("owl", "", "an owl"),
        ("owl", "brown", "a brown owl"),
        ("red heart", "red", "a red heart"),
        ("sunglasses", "black", "black sunglasses"),
        ("woman: red hair", "", "woman red hair"),
        ("woman singer", "blue", "a woman singer"),
        ("men wrestling", "red", "men wrestling"),
        ("cooked rice", "white", "white cooked rice"),
        ("grinning face", "yellow", "a grinning face"),
    ],
)
def test_nouns_have_article_and_colour(name: str, colour: str, noun: str) -> None:
    assert Subject(Path("x.png"), name, colour=colour).noun == noun


@pytest.mark.parametrize(
    "name",
    [
        "left arrow",
        "keycap: 3",
        "AB button (blood type)",
        "one o’clock",
        "flag: Japan",
        "input latin letters",
        "calendar",
    ],
)
def test_subjects_with_sides_or_writing_are_not_mirrored(name: str) -> None:
    assert not Subject(Path("x.png"), name).flips


@pytest.mark.parametrize("name", ["apple", "T-Rex", "man’s shoe", "person: bald"])
def test_other_subjects_are_mirrored(name: str) -> None:
    assert Subject(Path("x.png"), name).flips


@pytest.mark.parametrize("word", [*captions.COLOURS])
def test_every_colour_is_recognised(word: str) -> None:
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[..., :3] = captions.COLOURS[word]
    assert captions.find_main_colour(pixels) == word


def test_transparent_or_motley_images_have_no_main_colour() -> None:
    pixels = np.zeros((8, 12, 4), np.uint8)
    assert captions.find_main_colour(pixels) == ""
    pixels[..., 3] = 255
    for number, word in enumerate(("red", "green", "blue")):
        pixels[:, 4 * number : 4 * number + 4, :3] = captions.COLOURS[word]
    assert captions.find_main_colour(pixels) == ""


def test_captions_come_from_text_files_lists_and_file_names(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    found = [folder / name for name in ("1.png", "2.png", "3.png", "my-old_house_04.png")]
    (folder / "1.txt").write_text("  a portrait\nof Ada ", encoding="utf-8")
    rows = [{"file": "mine/2.png", "name": "Fox", "keywords": ["animal"], "style": "noto"}]
    rows += [{"file": "3.png", "caption": "just so"}, {"file": "1.png", "caption": "not used"}]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    first, second, third, fourth = captions.read_captions(folder, found)
    assert (first.name, first.fixed) == ("a portrait of Ada", True)
    assert (second.name, second.keywords, second.style, second.fixed) == ("Fox", ("animal",), "noto", False)
    assert third.name == "just so"
    assert fourth.name == "my old house"
    assert captions.draw_caption(first, np.random.default_rng(0)) == "a portrait of Ada"


def test_images_of_one_name_in_two_folders_keep_their_captions(tmp_path: Path) -> None:
    found = [tmp_path / "cats" / "1.png", tmp_path / "dogs" / "1.png"]
    rows = [{"file": "cats/1.png", "name": "cat"}, {"file": "dogs/1.png", "name": "dog"}]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert [subject.name for subject in captions.read_captions(tmp_path, found)] == ["cat", "dog"]


def test_damaged_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text('{"file": "a.png"\n', encoding="utf-8")
    with pytest.raises(api.BadInput, match=r"captions\.jsonl is not a list of captions"):
        captions.read_captions(tmp_path, [])


def subjects(count: int) -> list[Subject]:
    return [Subject(Path(f"{n}.webp"), f"thing {chr(97 + n)}", style=("fluent", "noto")[n % 2]) for n in range(count)]


def test_held_out_pairs_are_not_trained_on() -> None:
    some = subjects(12)
    trained = composites.draw_scenes(some, 300, seed=1)
    held = composites.draw_scenes(some, 20, seed=1, held_out=True)
    assert len(trained) == 300
    assert held
    pairs = [{frozenset((one.left, one.right)) for one in group} for group in (trained, held)]
    assert not pairs[0] & pairs[1]
    assert all(some[one.left].style == some[one.right].style for one in trained + held)
    assert trained == composites.draw_scenes(some, 300, seed=1)


def test_single_image_makes_no_pair() -> None:
    assert composites.draw_scenes(subjects(1), 5, seed=0) == []


def test_caption_of_a_pair_matches_its_image() -> None:
    fox = Subject(Path("f.webp"), "fox", style="fluent")
    scene = composites.Scene(0, 1, "blue")
    assert scene.describe([APPLE, fox]) == "a red apple and a fox on a blue ground, 3d"
    red, green = (np.zeros((32, 32, 4), np.uint8) for _ in range(2))
    red[8:24, 8:24] = (255, 0, 0, 255)
    green[8:24, 8:24] = (0, 255, 0, 255)
    made = composites.compose_pair(red, green, composites.find_ground_colour("blue"), 64)
    assert made.shape == (64, 64, 3)
    assert tuple(made[0, 0]) == captions.COLOURS["blue"]
    columns = [np.argwhere((made == colour).all(-1))[:, 1] for colour in ((255, 0, 0), (0, 255, 0))]
    assert columns[0].max() < 32 <= columns[1].min()


def test_mirrored_image_is_mirrored() -> None:
    half = np.zeros((16, 16, 4), np.uint8)
    half[:, :8] = (255, 0, 0, 255)
    straight, mirrored = (composites.paste_on_ground(half, (255, 255, 255), 16, mirrored=way) for way in (False, True))
    assert np.array_equal(straight[:, ::-1], mirrored)
    assert tuple(straight[0, 0]) == (255, 0, 0)
