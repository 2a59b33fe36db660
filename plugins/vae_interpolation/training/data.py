"""Pictures from folders, and batches of views of them that depend only on seed and step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio import api

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"})
HELD_OUT_SHARE = 0.05
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One picture in memory: `pixels` are [height, width, 3 | 4], `group` counts the folders from 0."""

    path: Path
    group: int
    pixels: Pixels


def find(folders: Sequence[Path]) -> list[tuple[int, Path]]:
    """Every file in the folders, and theirs, that looks like a picture, with its folder's number, in order.

    Raises BadInput when a folder is missing or may not be read.
    """
    found: list[tuple[int, Path]] = []
    for group, folder in enumerate(folders):
        if not folder.is_dir():
            raise api.BadInput(f"There is no folder {folder}.", "Check the path.")
        try:
            files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise api.BadInput(f"The folder {folder} may not be read.", "Change its permissions.") from error
        found += [(group, path) for path in files if not path.name.startswith(".") and path.is_file()]
    return found


def read(path: Path, group: int, side: int) -> Sample:
    """One picture, its shorter side scaled down to `side` px where it is longer. Raises BadInput."""
    from PIL import Image

    image = api.images.open_picture(path)
    scale = side / min(image.size)
    if scale < 1:
        width, height = (max(1, round(length * scale)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return Sample(path, group, np.asarray(image))


def is_held_out(path: Path) -> bool:
    """Whether a picture is kept for measuring. It depends on the names of file and folder alone,
    so it stays so when pictures come and go."""
    return _hash(path) < HELD_OUT_SHARE * 2**32


def split(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """(to learn from, to measure on). At least one is held out."""
    held = [sample for sample in samples if is_held_out(sample.path)]
    if not held:
        held = [min(samples, key=lambda sample: _hash(sample.path))]
    names = {id(sample) for sample in held}
    return [sample for sample in samples if id(sample) not in names], held


def whole(sample: Sample, size: int) -> NDArray[np.float32]:
    """The middle square of a picture over white, [3, size, size] in -1..1."""
    height, width = sample.pixels.shape[:2]
    side = min(height, width)
    return _view(sample.pixels, ((height - side) / 2, (width - side) / 2), side, size, np.full(3, 255, np.uint8))


@dataclass(frozen=True)
class Views:
    """Random square views: `batch(step)` is the same for the same seed and step, whatever came before.

    A view shows a share of the picture's shorter side between the two numbers of `cover`.
    Folders are drawn in proportion to the square root of their sizes, so that a small one counts.
    Transparent pictures are laid over white so often as `white` says, otherwise over a random plain colour.
    """

    samples: Sequence[Sample]
    size: int
    count: int
    seed: int
    cover: tuple[float, float] = (0.35, 0.8)
    flips: bool = True
    white: float = 0.6

    def batch(self, step: int) -> NDArray[np.float32]:
        """[count, 3, size, size] in -1..1."""
        chance = np.random.default_rng((self.seed, step))
        members = self._members
        weights = np.sqrt([len(group) for group in members])
        groups = chance.choice(len(members), self.count, p=weights / weights.sum())
        return np.stack([self._one(members[group], chance) for group in groups])

    @cached_property
    def _members(self) -> list[list[Sample]]:
        groups: dict[int, list[Sample]] = {}
        for sample in self.samples:
            groups.setdefault(sample.group, []).append(sample)
        return list(groups.values())

    def _one(self, members: Sequence[Sample], chance: np.random.Generator) -> NDArray[np.float32]:
        sample = members[int(chance.integers(len(members)))]
        share, y, x = chance.uniform(*self.cover), chance.uniform(), chance.uniform()
        white, flip = chance.uniform() < self.white, chance.uniform() < 0.5
        ground = chance.integers(0, 256, 3).astype(np.uint8)
        height, width = sample.pixels.shape[:2]
        side = share * min(height, width)
        corner = (y * (height - side), x * (width - side))
        view = _view(sample.pixels, corner, side, self.size, np.full(3, 255, np.uint8) if white else ground)
        return view[:, :, ::-1] if self.flips and flip else view


def _view(pixels: Pixels, corner: tuple[float, float], side: float, size: int, ground: Pixels) -> NDArray[np.float32]:
    from PIL import Image

    top, left = int(corner[0]), int(corner[1])
    cut = pixels[top : int(np.ceil(corner[0] + side)), left : int(np.ceil(corner[1] + side))]
    if cut.shape[2] == 4:
        alpha = cut[:, :, 3:].astype(np.float32) / 255
        cut = (cut[:, :, :3] * alpha + ground * (1 - alpha) + 0.5).astype(np.uint8)
    y, x = corner[0] - top, corner[1] - left
    box = (x, y, min(x + side, cut.shape[1]), min(y + side, cut.shape[0]))
    image: Any = Image.fromarray(cut).resize((size, size), Image.Resampling.BICUBIC, box=box)
    return (np.asarray(image, dtype=np.float32) / 127.5 - 1).transpose(2, 0, 1)


def _hash(path: Path) -> int:
    return int.from_bytes(hashlib.sha256(f"{path.parent.name}/{path.name}".encode()).digest()[:4])
