"""Training pictures of several folders, and the views of them."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plugins.vae_interpolation.training import data
from studio import api
from studio.api.datasets import ImageSample, read_image


def picture(path: Path, colour: tuple[int, ...], size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(path)
    return path


def samples(folder: Path, count: int = 6, group: int = 0) -> list[ImageSample]:
    paths = [picture(folder / f"{number}.png", (number * 40, 10, 200)) for number in range(count)]
    return [read_image(path, 64, group=group) for path in paths]


def finish(
    reading: Generator[api.Event, None, tuple[list[ImageSample], dict[str, str]]],
) -> tuple[list[ImageSample], dict[str, str]]:
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            result: tuple[list[ImageSample], dict[str, str]] = stop.value
            return result


def test_pictures_of_folders_are_read_in_order_with_their_group(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "b.png", (0, 0, 0))
    picture(tmp_path / "a" / "below" / "a.png", (0, 0, 0, 0))
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / ".hidden.png").write_bytes(b"")
    picture(tmp_path / "other" / "c.webp", (0, 0, 0), (400, 200))
    (tmp_path / "other" / "d.png").write_bytes(b"")
    read, skipped = finish(data.read_folders([tmp_path / "a", tmp_path / "other"], 50))
    assert [(sample.group, sample.path.name) for sample in read] == [(0, "b.png"), (0, "a.png"), (1, "c.webp")]
    assert [sample.pixels.shape for sample in read] == [(30, 40, 3), (30, 40, 4), (50, 100, 3)]
    assert {*skipped} == {"d.png"}


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="There is no folder"):
        finish(data.read_folders([tmp_path / "nowhere"], 50))


def test_only_held_out_pictures_are_read_on_request(tmp_path: Path) -> None:
    samples(tmp_path / "many", 60)
    read, _ = finish(data.read_folders([tmp_path / "many"], 50, only_held_out=True))
    assert read
    assert len(read) < 20
    assert all(api.datasets.is_held_out(sample.path) for sample in read)


def test_a_folder_given_twice_counts_twice(tmp_path: Path) -> None:
    samples(tmp_path / "a", 2)
    read, _ = finish(data.read_folders([tmp_path / "a", tmp_path / "a"], 50))
    assert [sample.group for sample in read] == [0, 0, 1, 1]


def test_the_central_square_is_composited_over_white(tmp_path: Path) -> None:
    clear = read_image(picture(tmp_path / "clear.png", (255, 0, 0, 0), (60, 40)), 40, keep_alpha=True)
    centre = data.crop_centre(clear, 16)
    assert centre.shape == (3, 16, 16)
    assert centre.dtype == np.float32
    assert np.all(centre == 1)


def test_a_batch_follows_from_seed_and_step(tmp_path: Path) -> None:
    views = data.Views(samples(tmp_path), size=16, count=4, seed=3)
    again = data.Views(samples(tmp_path), size=16, count=4, seed=3)
    again.batch(0)
    assert np.array_equal(views.batch(5), again.batch(5))
    assert not np.array_equal(views.batch(5), views.batch(6))
    assert views.batch(0).shape == (4, 3, 16, 16)
    assert -1 <= views.batch(0).min() <= views.batch(0).max() <= 1


def test_a_small_folder_counts_for_more_than_its_share(tmp_path: Path) -> None:
    many = [ImageSample(tmp_path, np.zeros((8, 8, 3), np.uint8))] * 99
    one = ImageSample(tmp_path, np.full((8, 8, 3), 255, np.uint8), 1)
    drawn = data.Views([*many, one], size=4, count=1000, seed=0).batch(0)
    assert 50 < int((drawn[:, 0, 0, 0] > 0).sum()) < 140


def test_flips_can_be_turned_off(tmp_path: Path) -> None:
    half = np.zeros((16, 16, 3), np.uint8)
    half[:, 8:] = 255
    sample = ImageSample(tmp_path, half)
    straight = data.Views([sample], size=8, count=16, seed=0, cover=(1.0, 1.0), flips=False).batch(0)
    mirrored = data.Views([sample], size=8, count=16, seed=0, cover=(1.0, 1.0)).batch(0)
    assert len(np.unique(straight[:, 0, 0, 0])) == 1
    assert len(np.unique(mirrored[:, 0, 0, 0])) == 2
