"""Masks are inspected beside the images that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from studio import api
from studio.api import data_report, datasets
from studio.api.data_report import DataFile, DataReport, Fault, ImageSource

SIDE = 64


class Inspection:
    def report_progress(self, done: int, total: int) -> None:
        assert done <= total


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of four images."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "b.png", "c.png", "sub/d.png"):
        Image.effect_noise((SIDE, SIDE), 80).convert("RGB").save(folder / name)
    return folder


def inspect(folder: Path, masks: Mapping[str, Image.Image | bytes], **options: object) -> DataReport:
    """Write masks beside the folder and inspect both."""
    place = folder.with_name("masks")
    for name, mask in masks.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(mask, bytes):
            (place / name).write_bytes(mask)
        else:
            mask.save(place / name)
    report = data_report.inspect_images([ImageSource(folder, datasets.find_images(folder), SIDE)], Inspection())
    return data_report.inspect_masks(report, place, Inspection(), size=SIDE, **options)  # type: ignore[arg-type]


def white(width: int = SIDE, height: int = SIDE) -> Image.Image:
    return Image.new("L", (width, height), 255)


def files(report: DataReport, noun: str) -> dict[str, DataFile]:
    return {file.name: file for folder in report.folders if folder.noun == noun for file in folder.files}


def faults(report: DataReport, noun: str) -> dict[str, set[Fault]]:
    return {name: set(file.faults) for name, file in files(report, noun).items() if file.faults}


def test_each_image_has_its_mask(folder: Path) -> None:
    report = inspect(folder, {"a.png": white(), "b.webp": white(32, 32), "c.png": white(), "sub/d.png": white()})
    assert faults(report, "mask") == faults(report, "image") == {}
    assert ("Masks", "4 of 4 images have one") in report.facts
    assert report.summary == "4 images, all usable; 4 masks, all usable."


def test_masks_without_an_image_and_images_without_a_mask_are_named(folder: Path) -> None:
    report = inspect(folder, {"a.png": white(), "d.png": white(), "a.webp": white()})
    assert faults(report, "mask") == {"d.png": {Fault.UNUSED}, "a.webp": {Fault.UNUSED}}
    assert set(faults(report, "image")) == {"b.png", "c.png", "sub/d.png"}
    assert [warning.sentence for warning in report.warnings] == [
        "3 images have no mask, so that all of each counts: b.png, c.png, sub/d.png.",
        "2 masks belong to no image and are not used: a.webp, d.png.",
    ]


def test_a_mask_that_cannot_be_read_takes_its_image_away(folder: Path) -> None:
    report = inspect(folder, {"a.png": b"\x89PNG", "b.png": white()})
    assert report.count_usable("image") == 3
    assert faults(report, "image")["a.jpg"] == {Fault.BROKEN}
    excluded = inspect(folder, {}, excluded=["a.png"])
    assert faults(excluded, "image")["a.jpg"] == {Fault.NO_MASK}


def test_masks_of_another_shape_and_black_ones_are_named(folder: Path) -> None:
    empty = Image.new("RGBA", (SIDE, SIDE), (255, 255, 255, 0))
    report = inspect(folder, {"a.png": white(96, 64), "b.png": white(65, 64), "c.png": empty, "sub/d.png": white()})
    assert faults(report, "mask") == {"a.png": {Fault.OTHER_SHAPE}, "c.png": {Fault.BLACK}}
    assert "96 × 64 px, and a.jpg is 64 × 64 px" in files(report, "mask")["a.png"].findings[0].sentence
    assert not report.refusal


def test_masks_that_fit_nothing_refuse_the_training(folder: Path) -> None:
    other = inspect(folder, {"fox.png": white()})
    assert other.refusal == "No mask in masks has the name of an image."
    folder.with_name("masks").joinpath("fox.png").unlink()
    black = inspect(folder, {f"{name}.png": Image.new("L", (SIDE, SIDE)) for name in ("a", "b", "c", "sub/d")})
    assert black.refusal == "All masks in masks are black, so that nothing would be learned."


def test_a_folder_inside_another_is_no_part_of_it(folder: Path) -> None:
    class Params(api.training.TrainingParams):
        masks: Path | None = None

    params = Params(folder=folder, more_folders=[folder / "sub"], masks=folder / "none", exclude=["sub/d.png", "b.png"])
    assert params.excluded_in(folder) == {"sub/", "sub/d.png", "b.png"}
    assert [path.name for path in datasets.find_images(folder, exclude=params.excluded_in(folder))] == [
        "a.jpg",
        "c.png",
    ]
    sources = data_report.list_sources(params, SIDE)
    assert [[path.name for path in source.paths] for source in sources] == [["a.jpg", "b.png", "c.png"], ["d.png"]]
