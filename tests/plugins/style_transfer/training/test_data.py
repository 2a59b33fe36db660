"""Pictures for a style: found, chosen by words, held out, and drawn by seed and step alone."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plugins.style_transfer.training import data
from studio import api


def picture(path: Path, colour: tuple[int, ...] = (10, 120, 200), size: tuple[int, int] = (60, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(path)
    return path


def noisy(folder: Path, count: int = 4) -> list[data.Sample]:
    chance = np.random.default_rng(0)
    return [
        data.Sample(folder / f"{number}.png", chance.integers(0, 256, (80, 90, 3)).astype(np.uint8))
        for number in range(count)
    ]


def test_paintings_are_chosen_by_name_and_caption(tmp_path: Path) -> None:
    for name in ("haystacks.png", "night.png", "boats.png"):
        picture(tmp_path / name)
    told = {"file": "boats.png", "artist": "Claude Monet", "note": "One line\u2028and another"}
    lines = [json.dumps(told, ensure_ascii=False), "no json", "[1]"]
    (tmp_path / "captions.jsonl").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    assert [path.name for path in data.find(tmp_path, ["monet", "HAY"])] == ["boats.png", "haystacks.png"]
    assert len(data.find(tmp_path)) == data.count(tmp_path) == 3


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="There is no folder"):
        data.find(tmp_path / "nowhere")
    assert data.count(tmp_path / "nowhere") == 0


def test_clear_pictures_are_read_over_white_and_large_ones_small(tmp_path: Path) -> None:
    clear = data.read(picture(tmp_path / "clear.png", (0, 0, 0, 0), (400, 200)), 50)
    assert clear.pixels.shape == (50, 100, 3)
    assert np.all(clear.pixels == 255)


def test_a_name_may_be_no_utf_8(tmp_path: Path) -> None:
    odd = [tmp_path / os.fsdecode(b"caf\xe9-%d.png" % number) for number in range(3)]
    samples = [data.Sample(path, np.zeros((8, 8, 3), np.uint8)) for path in odd]
    learn, held = data.split(samples)
    assert len(learn) + len(held) == 3


def test_at_least_one_picture_is_held_out_and_a_single_one_is_both(tmp_path: Path) -> None:
    few = noisy(tmp_path, 2)
    learn, held = data.split(few)
    assert len(learn) == len(held) == 1
    assert learn[0] is not held[0]
    assert data.split(few[:1]) == (few[:1], few[:1])


def test_a_batch_follows_from_seed_stream_and_step(tmp_path: Path) -> None:
    crops = data.Crops(noisy(tmp_path), 32, 3, seed=5)
    first = crops.batch(7)
    crops.batch(8)
    assert first.shape == (3, 3, 32, 32)
    assert np.array_equal(first, crops.batch(7))
    assert not np.array_equal(first, crops.batch(8))
    assert not np.array_equal(first, data.Crops(noisy(tmp_path), 32, 3, seed=5, stream=1).batch(7))


def test_closer_crops_show_less(tmp_path: Path) -> None:
    slope = np.repeat(np.linspace(0, 255, 128).astype(np.uint8)[None, :, None], 128, 0).repeat(3, 2)
    sample = data.Sample(tmp_path / "slope.png", slope)
    whole, near = (data.middle(sample, 32, closer) for closer in (1.0, 2.0))
    assert np.ptp(near) == pytest.approx(np.ptp(whole) / 2, rel=0.1)
    crops = [data.Crops([sample], 32, 8, seed=3, closer=closer).batch(0) for closer in (1.0, 2.0)]
    assert np.ptp(crops[1], axis=3).max() < 0.6 * np.ptp(crops[0], axis=3).max()


def test_pairs_show_the_same_place_and_repeat_themselves(tmp_path: Path) -> None:
    pairs = data.Pairs(data.Crops(noisy(tmp_path), 32, 2, seed=1), "pixels")
    photos, wanted = pairs.batch(3)
    assert photos.shape == wanted.shape == (2, 3, 32, 32)
    assert np.array_equal(photos, data.Pairs(pairs.crops, "ink").batch(3)[0])
    assert np.array_equal(wanted, pairs.batch(3)[1])
    blocks = wanted.reshape(2, 3, 4, 8, 4, 8)
    assert np.ptp(blocks, axis=(3, 5)).max() == 0
