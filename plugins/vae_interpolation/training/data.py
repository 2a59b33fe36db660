"""Pictures of several folders in memory, and random views of them that depend only on seed and step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio import api
from studio.api.datasets import ImageSample

MAX_PICTURES = 8_000
"""Maximum number of pictures, since all are held in memory (up to 200 KB each at 128 px)."""
Pixels = NDArray[np.uint8]
WHITE: Pixels = np.full(3, 255, np.uint8)


def read_folders(
    folders: Sequence[Path],
    side: int,
    *,
    only_held_out: bool = False,
    excluded_in: Callable[[Path], Collection[str]] = lambda _: (),
) -> Generator[api.Event, None, tuple[list[ImageSample], dict[str, str]]]:
    """Read the pictures of folders with their transparency, scaled down to a shorter side of `side` px.

    `excluded_in` returns names of files to leave out, relative to a folder.
    Returns (pictures, {file name: why it was skipped}); a picture's group is the number of its folder.
    Raises BadInput for a folder that is missing or may not be read.
    """
    files = [
        (path, group)
        for group, folder in enumerate(folders)
        for path in api.datasets.find_images(folder, exclude=excluded_in(folder))
    ]
    if only_held_out:
        files = [(path, group) for path, group in files if api.datasets.is_held_out(path)]
    if len(files) > MAX_PICTURES:
        yield api.Notice(f"Only {MAX_PICTURES:,} of the {len(files):,} images are used.", "warning")
        files = files[:: -(-len(files) // MAX_PICTURES)]

    def read(file: tuple[Path, int]) -> ImageSample:
        return api.datasets.read_image(file[0], side, keep_alpha=True, group=file[1])

    return (yield from api.datasets.read_images(files, read, path_of=lambda file: file[0]))


def name_folders(folders: Sequence[Path]) -> list[str]:
    """Return a unique name for each folder: its own, with a number if there are several of it."""
    names: list[str] = []
    for folder in folders:
        numbered = (f"{folder.name} ({number})" for number in range(2, len(folders) + 2))
        names.append(folder.name if folder.name not in names else next(name for name in numbered if name not in names))
    return names


def crop_centre(sample: ImageSample, size: int) -> NDArray[np.float32]:
    """Return the central square of a picture over white, scaled to [3, size, size] in -1..1."""
    height, width = sample.pixels.shape[:2]
    side = min(height, width)
    return _crop(sample.pixels, ((height - side) / 2, (width - side) / 2), side, size, WHITE)


@dataclass(frozen=True)
class Views:
    """Random square crops: `batch(step)` depends on the seed and the step alone.

    A view covers a fraction of the picture's shorter side between the two values of `cover`. Folders are
    drawn in proportion to the square root of their sizes, so that small ones count. Transparent pictures
    are composited over white with the probability `white`, otherwise over a random plain colour.
    """

    samples: Sequence[ImageSample]
    size: int
    count: int
    seed: int
    cover: tuple[float, float] = (0.35, 0.8)
    flips: bool = True
    white: float = 0.6

    def batch(self, step: int) -> NDArray[np.float32]:
        """Return the views of a step, [count, 3, size, size] in -1..1."""
        rng = np.random.default_rng((self.seed, step))
        groups = self._groups
        weights = np.sqrt([len(group) for group in groups])
        chosen = rng.choice(len(groups), self.count, p=weights / weights.sum())
        return np.stack([self._draw(groups[group], rng) for group in chosen])

    @cached_property
    def _groups(self) -> list[list[ImageSample]]:
        groups: dict[int, list[ImageSample]] = {}
        for sample in self.samples:
            groups.setdefault(sample.group, []).append(sample)
        return list(groups.values())

    def _draw(self, group: Sequence[ImageSample], rng: np.random.Generator) -> NDArray[np.float32]:
        sample = group[int(rng.integers(len(group)))]
        fraction, y, x = rng.uniform(*self.cover), rng.uniform(), rng.uniform()
        is_white, is_flipped = rng.uniform() < self.white, rng.uniform() < 0.5
        colour = rng.integers(0, 256, 3).astype(np.uint8)
        height, width = sample.pixels.shape[:2]
        side = fraction * min(height, width)
        corner = (y * (height - side), x * (width - side))
        view = _crop(sample.pixels, corner, side, self.size, WHITE if is_white else colour)
        return view[:, :, ::-1] if self.flips and is_flipped else view


def _crop(
    pixels: Pixels, corner: tuple[float, float], side: float, size: int, background: Pixels
) -> NDArray[np.float32]:
    from PIL import Image

    top, left = int(corner[0]), int(corner[1])
    part = pixels[top : int(np.ceil(corner[0] + side)), left : int(np.ceil(corner[1] + side))]
    if part.shape[2] == 4:
        alpha = part[:, :, 3:].astype(np.float32) / 255
        part = (part[:, :, :3] * alpha + background * (1 - alpha) + 0.5).astype(np.uint8)
    y, x = corner[0] - top, corner[1] - left
    box = (x, y, min(x + side, part.shape[1]), min(y + side, part.shape[0]))
    view = Image.fromarray(part).resize((size, size), Image.Resampling.BICUBIC, box=box)
    return api.images.from_uint8(np.asarray(view))
