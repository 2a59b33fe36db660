"""`api.datasets`: find and read training data in a fixed order, and hold out a part of it."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image

from studio import api
from studio.api import datasets
from studio.core.data_report import CaptionSource

R = TypeVar("R")


@dataclass(frozen=True)
class Sample:
    path: Path


def save_picture(path: Path, colour: tuple[int, ...] = (10, 120, 200), size: tuple[int, int] = (60, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(path)
    return path


def exhaust(reading: Generator[api.Event, None, R]) -> tuple[list[api.Event], R]:
    events = []
    while True:
        try:
            events.append(next(reading))
        except StopIteration as stop:
            return events, stop.value


def test_pictures_are_found_in_order_with_those_in_subfolders(tmp_path: Path) -> None:
    for name in ("b.PNG", "sub/a.jpg", ".hidden.png"):
        save_picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in datasets.find_images(tmp_path)] == ["b.PNG", "a.jpg"]
    assert datasets.find_files(tmp_path, (".txt", ".jsonl.xz")) == [tmp_path / "notes.txt"]
    assert datasets.count_images(tmp_path, 10) >= 2
    assert datasets.count_images(tmp_path, 1) == 1


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="There is no folder"):
        datasets.find_images(tmp_path / "missing")
    assert datasets.count_images(tmp_path / "missing", 9) == 0


def test_folders_that_may_not_be_read_are_left_out_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, deep = save_picture(tmp_path / "a.png"), tmp_path / "deep"
    deep.mkdir()
    save_picture(deep / "b.png")
    (tmp_path / "circle").symlink_to(tmp_path)
    locked, scandir = {deep}, os.scandir

    def refuse(folder: str) -> object:
        if Path(folder) in locked:
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert datasets.find_images(tmp_path) == [path]
    assert datasets.find_locked_folders(tmp_path) == [deep]
    locked.add(tmp_path)
    with pytest.raises(api.BadInput, match="cannot be read: permission denied"):
        datasets.find_images(tmp_path)


def test_pictures_can_be_chosen_by_words_in_names_and_captions(tmp_path: Path) -> None:
    for name in ("haystacks.png", "night.png", "boats.png"):
        save_picture(tmp_path / name)
    row = {"file": "boats.png", "artist": "Claude Monet", "note": "One line\u2028and another"}
    lines = [json.dumps(row, ensure_ascii=False), "no json", "[1]"]
    (tmp_path / "captions.jsonl").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    found = datasets.find_images(tmp_path, ["monet", "HAY"])
    assert [path.name for path in found] == ["boats.png", "haystacks.png"]
    assert len(datasets.find_images(tmp_path, [" "])) == 3


def test_large_pictures_are_scaled_down_and_transparent_ones_flattened(tmp_path: Path) -> None:
    path = save_picture(tmp_path / "clear.png", (0, 0, 0, 0), (400, 200))
    sample = datasets.read_image(path, 50)
    assert sample.pixels.shape == (50, 100, 3)
    assert np.all(sample.pixels == 255)
    assert datasets.read_image(path, 500, keep_alpha=True, group=2).pixels.shape == (200, 400, 4)


def test_unreadable_pictures_are_skipped_with_one_notice(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png")
    (tmp_path / "broken.png").write_bytes(b"PNG")
    (tmp_path / "empty.jpg").touch()
    events, (samples, skipped) = exhaust(datasets.read_image_folder(tmp_path, 32, limit=10))
    assert [sample.path.name for sample in samples] == ["a.png"]
    assert {*skipped} == {"broken.png", "empty.jpg"}
    assert events[0] == api.Progress(0, 0, "Reading images: 0 of 3")
    assert events[1] == api.Notice(
        f"Skipped 2 files in {tmp_path.name} that cannot be used: broken.png, empty.jpg.", "warning"
    )


def test_a_long_list_of_skipped_files_is_cut_short() -> None:
    names = [f"{number}.png" for number in range(12)]
    assert datasets.describe_skipped(names).text.endswith("9.png and 2 more.")
    assert datasets.describe_skipped(["a.png"]).text == "Skipped 1 file that cannot be used: a.png."


def test_a_limit_takes_pictures_evenly_from_the_whole_folder(tmp_path: Path) -> None:
    for number in range(9):
        save_picture(tmp_path / f"{number}.png", size=(8, 8))
    events, (samples, _) = exhaust(datasets.read_image_folder(tmp_path, 32, limit=4, group=3))
    assert [sample.path.name for sample in samples] == ["0.png", "2.png", "4.png", "6.png"]
    assert {sample.group for sample in samples} == {3}
    assert isinstance(events[0], api.Notice)


def test_the_holdout_follows_from_names_alone(tmp_path: Path) -> None:
    names = [tmp_path / f"{number}.png" for number in range(2000)]
    held = [path.name for path in names if datasets.is_held_out(path)]
    assert 60 < len(held) < 140
    moved = Path("/elsewhere") / tmp_path.name
    assert held == [path.name for path in names if datasets.is_held_out(moved / path.name)]
    assert datasets.is_held_out(Path("a/b/c.png"), 0.5) == datasets.is_held_out("b/c.png", 0.5)


def test_the_holdout_of_earlier_trainings_does_not_change() -> None:
    """The digest must not change: a resumed training would be evaluated on pictures that it was trained on."""
    held = [number for number in range(100) if datasets.is_held_out(Path(f"faces/{number}.png"))]
    assert held == [20, 34, 64, 84, 86]


def test_each_part_has_at_least_one_sample(tmp_path: Path) -> None:
    samples = [Sample(tmp_path / f"{number}.png") for number in range(3)]
    training, holdout = datasets.split_holdout(samples)
    assert len(training) == 2
    assert len(holdout) == 1
    assert datasets.split_holdout(samples[:1]) == (samples[:1], samples[:1])
    training, holdout = datasets.split_holdout(samples, 1.0)
    assert (len(training), len(holdout)) == (1, 2)


def test_file_names_need_not_be_utf_8(tmp_path: Path) -> None:
    samples = [Sample(tmp_path / os.fsdecode(b"caf\xe9-%d.png" % number)) for number in range(3)]
    training, holdout = datasets.split_holdout(samples)
    assert len(training) + len(holdout) == 3


def test_captions_come_from_text_files_lists_and_file_names(tmp_path: Path) -> None:
    folder = tmp_path / "animals"
    paths = [
        save_picture(folder / name) for name in ("fox.png", "owl.png", "red-apple_02.png", "x.png", "IMG_0001.png")
    ]
    (folder / "fox.txt").write_text("A fox\n at night\n")
    rows = [{"file": "animals/owl.png", "name": "Owl", "keywords": ["bird", 3], "style": "noto"}]
    (tmp_path / "animals.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    (folder / "captions.jsonl").write_text(json.dumps({"file": "x.png", "caption": " An X. "}))
    source = CaptionSource
    assert datasets.read_captions(folder, paths) == [
        datasets.ImageCaption(paths[0], "A fox at night", source=source.TEXT_FILE),
        datasets.ImageCaption(paths[1], "Owl", False, ("bird",), "noto", source.FOLDER_LIST),
        datasets.ImageCaption(paths[2], "red apple", source=source.FILE_NAME),
        datasets.ImageCaption(paths[3], "An X.", source=source.CAPTION_LIST),
        datasets.ImageCaption(paths[4], ""),
    ]


@pytest.mark.parametrize(
    ("stem", "caption"),
    [("000", ""), ("IMG_0001", ""), ("DSC01234", ""), ("x", ""), ("3f2a9c0b71de44aa", ""), ("猫", "猫"),
     ("owl_2", "owl"), ("2024-05-01 12.33", ""), ("image (3)", ""), ("beef", "beef")],
)  # fmt: skip
def test_a_file_name_without_a_word_is_no_caption(tmp_path: Path, stem: str, caption: str) -> None:
    (read,) = datasets.read_captions(tmp_path, [tmp_path / f"{stem}.png"])
    assert read.text == caption
    assert read.source is (CaptionSource.FILE_NAME if caption else CaptionSource.NONE)


def test_excluded_and_tiny_images_are_left_out(tmp_path: Path) -> None:
    paths = [save_picture(tmp_path / name) for name in ("a.png", "b.png", "sub/a.png")]
    assert datasets.find_images(tmp_path, exclude=["sub/a.png", "missing.png"]) == paths[:2]
    tiny = save_picture(tmp_path / "tiny.png", size=(40, 7))
    with pytest.raises(api.BadInput, match=r"tiny\.png is 40 × 7 px, which is too small"):
        datasets.read_image(tiny, 64)


@pytest.mark.parametrize("content", [bytes(range(256)), b"\0\0\0"])
def test_a_damaged_caption_file_costs_one_caption(tmp_path: Path, content: bytes) -> None:
    paths = [tmp_path / "a fox.png", tmp_path / "a dog.png"]
    (tmp_path / "a fox.txt").write_bytes(content)
    fox, dog = datasets.read_captions(tmp_path, paths)
    assert (fox.text, fox.fault) == ("", "The caption file a fox.txt is no text. Save it as UTF-8.")
    assert (dog.text, dog.fault) == ("a dog", "")


@pytest.mark.parametrize("content", [b"no json", b'{"name": "x"}', b"[1]", b"\xff"])
def test_a_damaged_list_of_captions_is_reported(tmp_path: Path, content: bytes) -> None:
    path = save_picture(tmp_path / "a.png")
    (tmp_path / "captions.jsonl").write_bytes(content)
    with pytest.raises(api.BadInput, match=r"captions\.jsonl is not a list of captions"):
        datasets.read_captions(tmp_path, [path])
    assert datasets.read_caption_list(tmp_path / "captions.jsonl", strict=False) == {}
