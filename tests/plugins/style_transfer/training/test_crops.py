"""Crops depend on the images, the seed and the step alone."""

from pathlib import Path

import numpy as np
import pytest

from plugins.style_transfer.training import crops
from studio.api.datasets import ImageSample


def make_samples(folder: Path, count: int = 4) -> list[ImageSample]:
    rng = np.random.default_rng(0)
    return [
        ImageSample(folder / f"{number}.png", rng.integers(0, 256, (80, 90, 3)).astype(np.uint8))
        for number in range(count)
    ]


def test_a_batch_depends_on_seed_stream_and_step(tmp_path: Path) -> None:
    random_crops = crops.RandomCrops(make_samples(tmp_path), 32, 3, seed=5)
    first = random_crops.load_batch(7)
    random_crops.load_batch(8)
    assert first.shape == (3, 3, 32, 32)
    assert np.array_equal(first, random_crops.load_batch(7))
    assert not np.array_equal(first, random_crops.load_batch(8))
    assert not np.array_equal(first, crops.RandomCrops(make_samples(tmp_path), 32, 3, seed=5, stream=1).load_batch(7))


def test_a_zoom_makes_crops_show_less(tmp_path: Path) -> None:
    slope = np.repeat(np.linspace(0, 255, 128).astype(np.uint8)[None, :, None], 128, 0).repeat(3, 2)
    sample = ImageSample(tmp_path / "slope.png", slope)
    whole, zoomed = (crops.crop_center(sample, 32, zoom) for zoom in (1.0, 2.0))
    assert np.ptp(zoomed) == pytest.approx(np.ptp(whole) / 2, rel=0.1)
    batches = [crops.RandomCrops([sample], 32, 8, seed=3, zoom=zoom).load_batch(0) for zoom in (1.0, 2.0)]
    assert np.ptp(batches[1], axis=3).max() < 0.6 * np.ptp(batches[0], axis=3).max()


def test_pairs_show_the_same_place_and_are_repeatable(tmp_path: Path) -> None:
    pairs = crops.EffectPairs(crops.RandomCrops(make_samples(tmp_path), 32, 2, seed=1), "pixels")
    photos, targets = pairs.load_batch(3)
    assert photos.shape == targets.shape == (2, 3, 32, 32)
    assert np.array_equal(photos, crops.EffectPairs(pairs.crops, "ink").load_batch(3)[0])
    assert np.array_equal(targets, pairs.load_batch(3)[1])
    blocks = targets.reshape(2, 3, 4, 8, 4, 8)
    assert np.ptp(blocks, axis=(3, 5)).max() == 0
