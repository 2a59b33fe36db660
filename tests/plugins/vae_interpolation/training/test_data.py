"""Pictures for training: found, read, held out, and drawn by seed and step alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plugins.vae_interpolation.training import data
from studio import api


def picture(path: Path, colour: tuple[int, ...], size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(path)
    return path


def samples(folder: Path, count: int = 6, group: int = 0) -> list[data.Sample]:
    paths = [picture(folder / f"{number}.png", (number * 40, 10, 200)) for number in range(count)]
    return [data.read(path, group, 64) for path in paths]


def test_finds_pictures_in_order_and_in_folders_below(tmp_path: Path) -> None:
    picture(tmp_path / "b.png", (0, 0, 0))
    picture(tmp_path / "below" / "a.jpg", (0, 0, 0))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    other = picture(tmp_path.with_name("other") / "c.webp", (0, 0, 0)).parent
    found = data.find([tmp_path, other])
    assert [(group, path.name) for group, path in found] == [(0, "b.png"), (0, "a.jpg"), (1, "c.webp")]


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="There is no folder"):
        data.find([tmp_path / "nowhere"])


def test_large_pictures_are_scaled_down_when_read(tmp_path: Path) -> None:
    path = picture(tmp_path / "large.png", (1, 2, 3), (400, 200))
    assert data.read(path, 0, 50).pixels.shape == (50, 100, 3)
    assert data.read(path, 0, 500).pixels.shape == (200, 400, 3)


def test_what_is_held_out_depends_on_names_alone(tmp_path: Path) -> None:
    names = [tmp_path / f"{number}.png" for number in range(2000)]
    held = [path.name for path in names if data.is_held_out(path)]
    assert 60 < len(held) < 140
    assert held == [path.name for path in names if data.is_held_out(Path("/elsewhere") / tmp_path.name / path.name)]


def test_one_picture_is_held_out_at_least(tmp_path: Path) -> None:
    few = samples(tmp_path, 3)
    learn, held = data.split(few)
    assert len(held) == 1
    assert len(learn) == 2


def test_the_middle_square_is_seen_whole_over_white(tmp_path: Path) -> None:
    clear = data.read(picture(tmp_path / "clear.png", (255, 0, 0, 0), (60, 40)), 0, 40)
    seen = data.whole(clear, 16)
    assert seen.shape == (3, 16, 16)
    assert seen.dtype == np.float32
    assert np.all(seen == 1)


def test_a_batch_follows_from_seed_and_step(tmp_path: Path) -> None:
    views = data.Views(samples(tmp_path), size=16, count=4, seed=3)
    again = data.Views(samples(tmp_path), size=16, count=4, seed=3)
    again.batch(0)
    assert np.array_equal(views.batch(5), again.batch(5))
    assert not np.array_equal(views.batch(5), views.batch(6))
    assert views.batch(0).shape == (4, 3, 16, 16)
    assert -1 <= views.batch(0).min() <= views.batch(0).max() <= 1


def test_a_small_folder_counts_for_more_than_its_share(tmp_path: Path) -> None:
    many = [data.Sample(tmp_path, 0, np.zeros((8, 8, 3), np.uint8))] * 99
    one = data.Sample(tmp_path, 1, np.full((8, 8, 3), 255, np.uint8))
    drawn = data.Views([*many, one], size=4, count=1000, seed=0).batch(0)
    assert 50 < int((drawn[:, 0, 0, 0] > 0).sum()) < 140


def test_mirroring_can_be_turned_off(tmp_path: Path) -> None:
    half = np.zeros((16, 16, 3), np.uint8)
    half[:, 8:] = 255
    sample = data.Sample(tmp_path, 0, half)
    straight = data.Views([sample], size=8, count=16, seed=0, cover=(1.0, 1.0), flips=False).batch(0)
    mirrored = data.Views([sample], size=8, count=16, seed=0, cover=(1.0, 1.0)).batch(0)
    assert len(np.unique(straight[:, 0, 0, 0])) == 1
    assert len(np.unique(mirrored[:, 0, 0, 0])) == 2
