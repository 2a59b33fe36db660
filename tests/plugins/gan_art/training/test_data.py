"""Images of a GAN training: classes, filters, sizes and transparency."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plugins.gan_art.models import pixels as pixels_of
from plugins.gan_art.training import data
from plugins.gan_art.training.data import TrainingData
from plugins.gan_art.training.params import GanTrainingParams
from studio import api


def save(path: Path, colour: tuple[int, ...], size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder of fruits with a list of captions beside it, and subfolders."""
    rows = []
    for number in range(12):
        name = f"{'red' if number % 2 else 'green'}/{number:02}.png"
        save(tmp_path / "fruits" / name, (20 * number, 0, 0))
        row = {"file": f"fruits/{name}", "name": ["apple", "pear", "plum"][number % 3], "objects": number % 2 + 1}
        rows.append(json.dumps(row))
    (tmp_path / "fruits.jsonl").write_text("\n".join(rows), "utf-8")
    return tmp_path / "fruits"


def read(events: Generator[api.Event, None, TrainingData]) -> TrainingData:
    while True:
        try:
            next(events)
        except StopIteration as done:
            result: TrainingData = done.value
            return result


def list_names(folder: Path, **values: Any) -> tuple[list[tuple[str, int]], tuple[str, ...]]:
    listed, names = data.list_images(GanTrainingParams(folder=folder, **values))
    return [(path.stem, label) for path, label in listed], names


def test_without_classes_all_images_are_used(folder: Path) -> None:
    listed, names = list_names(folder)
    assert len(listed) == 12
    assert {label for _, label in listed} == {0}
    assert names == ()


def test_classes_come_from_subfolders_or_a_key_of_the_captions(folder: Path) -> None:
    listed, names = list_names(folder, label_by="folder")
    assert names == ("green", "red")
    assert dict(listed)["03"] == 1
    listed, names = list_names(folder, label_by="name")
    assert names == ("apple", "pear", "plum")
    assert dict(listed)["04"] == 1


def test_images_are_chosen_by_class_and_by_filters(folder: Path) -> None:
    listed, names = list_names(folder, label_by="name", labels=["Plum", "apple"], filters=["objects=2"])
    assert names == ("apple", "plum")
    assert dict(listed) == {"03": 0, "05": 1, "09": 0, "11": 1}
    listed, _ = list_names(folder, filters=["name=plum", "name=pear", "objects=1"])
    assert [name for name, _ in listed] == ["02", "04", "08", "10"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"filters": ["objects"]}, "is not a filter"),
        ({"label_by": "colour"}, "no classes"),
        ({"label_by": "name", "labels": ["plum"]}, "only one class"),
    ],
)
def test_what_gives_no_classes_is_said(values: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(api.BadInput, match=message):
        list_names(folder, **values)


def test_images_are_cropped_scaled_and_split(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"no image")
    save(folder / "dot.png", (1, 2, 3), (1, 1))
    params = GanTrainingParams(folder=folder, size=32, aspect="2:3", label_by="name")
    result = read(data.read_training_data(params))
    assert result.training.pixels.shape[1:] == (48, 32, 3)
    assert len(result.training) + len(result.holdout) == 12
    assert sum(result.count_classes().values()) == len(result.training)
    everything = read(data.read_training_data(GanTrainingParams(folder=folder, size=32)))
    assert set(everything.skipped) == {"broken.png", "dot.png"}


def test_transparent_colours_are_multiplied_by_alpha(tmp_path: Path) -> None:
    save(tmp_path / "a.png", (255, 255, 255, 0))
    pixels = pixels_of.read_pixels(tmp_path / "a.png", (32, 32), 4)
    values = pixels_of.to_tensor_values(pixels[None])
    assert values.shape == (1, 4, 32, 32)
    assert np.abs(values[:, :3]).max() == 0
    assert (values[:, 3] == -1).all()
    flat = pixels_of.read_pixels(tmp_path / "a.png", (32, 32))
    assert flat.shape == (32, 32, 3)
    assert flat.min() == 255
