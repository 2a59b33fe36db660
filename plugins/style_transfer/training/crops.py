"""Batches of random crops, which depend on the images, the seed and the step alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from studio import api

from ..effects import registry

MAX_FRACTION = 1.0
MIN_FRACTION = 0.5
"""Side of a crop as a fraction of the shorter side of the image, before the zoom."""
MARGIN = 16
"""Border in px around a crop that an effect gets, too: a multiple of the 8 px after which its patterns repeat."""
Pixels: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class RandomCrops:
    """Random square crops of images. `load_batch(step)` is the same for the same seed and step.

    `stream` separates crops with the same seed, such as photos and paintings. `zoom` divides the side of the crops, as
    far as the images have the pixels.
    """

    samples: Sequence[api.datasets.ImageSample]
    size: int
    count: int
    seed: int
    stream: int = 0
    flips: bool = True
    zoom: float = 1.0

    def load_batch(self, step: int) -> Floats:
        """Return the crops of a step, [count, 3, size, size] in -1..1."""
        return np.stack([api.images.from_uint8(crop) for crop in self.crop_pixels(step, self.size)])

    def crop_pixels(self, step: int, size: int) -> list[Pixels]:
        """Return the crops of a step as bytes, [size, size, 3] each."""
        rng = np.random.default_rng((self.seed, self.stream, step))
        return [self._crop_random(rng, size) for _ in range(self.count)]

    def _crop_random(self, rng: np.random.Generator, size: int) -> Pixels:
        pixels = self.samples[int(rng.integers(len(self.samples)))].pixels
        fraction, y, x, flip = rng.uniform(MIN_FRACTION, MAX_FRACTION), *rng.uniform(size=3)
        height, width = pixels.shape[:2]
        short = min(height, width)
        side = min(max(fraction * short / self.zoom, size), short)
        crop = _crop(pixels, (y * (height - side), x * (width - side)), side, size)
        return crop[:, ::-1] if self.flips and flip < 0.5 else crop


@dataclass(frozen=True)
class EffectPairs:
    """Crops of photos, and an effect applied to them as targets."""

    crops: RandomCrops
    effect: registry.Effect

    def load_batch(self, step: int) -> tuple[Floats, Floats]:
        """Return (photos, targets) of a step, [count, 3, size, size] in -1..1 each."""
        photos = self.crops.crop_pixels(step, self.crops.size + 2 * MARGIN)
        seeds = np.random.default_rng((self.crops.seed, self.crops.stream, step, 1)).integers(2**31, size=len(photos))
        return self._build_pairs(photos, [int(seed) for seed in seeds])

    def crop_centers(self, samples: Sequence[api.datasets.ImageSample]) -> tuple[Floats, Floats]:
        """Return (photos, targets) of the centres of images, as `load_batch` does."""
        photos = [_crop_center(sample, self.crops.size + 2 * MARGIN) for sample in samples]
        return self._build_pairs(photos, [self.crops.seed] * len(photos))

    def _build_pairs(self, photos: Sequence[Pixels], seeds: Sequence[int]) -> tuple[Floats, Floats]:
        targets = [registry.apply_effect(self.effect, photo, seed) for photo, seed in zip(photos, seeds, strict=True)]
        inside = slice(MARGIN, -MARGIN)
        photo_batch, target_batch = (
            np.stack([api.images.from_uint8(pixels[inside, inside]) for pixels in images])
            for images in (photos, targets)
        )
        return photo_batch, target_batch


def crop_center(sample: api.datasets.ImageSample, size: int, zoom: float = 1.0) -> Floats:
    """Return the central square of an image, its side divided by `zoom`, as [3, size, size] in -1..1."""
    return api.images.from_uint8(_crop_center(sample, size, zoom))


def _crop_center(sample: api.datasets.ImageSample, size: int, zoom: float = 1.0) -> Pixels:
    height, width = sample.pixels.shape[:2]
    side = min(height, width, max(size, min(height, width) / zoom))
    return _crop(sample.pixels, ((height - side) / 2, (width - side) / 2), side, size)


def _crop(pixels: Pixels, corner: tuple[float, float], side: float, size: int) -> Pixels:
    """Crop a square with a fractional corner (y, x) and side, and resize it to `size` px."""
    from PIL import Image

    top, left = int(corner[0]), int(corner[1])
    cropped = pixels[top : int(np.ceil(corner[0] + side)), left : int(np.ceil(corner[1] + side))]
    y, x = corner[0] - top, corner[1] - left
    box = (x, y, min(x + side, cropped.shape[1]), min(y + side, cropped.shape[0]))
    image = Image.fromarray(cropped).resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.asarray(image)
