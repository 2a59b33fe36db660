"""Pictures from folders, and batches of crops of them that depend only on seed and step."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio import api

from ..effects import registry

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"})
CAPTIONS = "captions.jsonl"
HELD_OUT_SHARE = 0.05
MOST = 2000
"""More pictures of a folder are left aside, since all are held in memory (200 KB each for crops of 128 px)."""
LARGEST_SHARE = 1.0
SMALLEST_SHARE = 0.5
"""How much of the shorter side a crop shows."""
MARGIN = 16
"""Pixels around a crop that an effect sees, too: a multiple of the 8 px after which its patterns repeat."""
Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """One picture in memory, [height, width, 3]."""

    path: Path
    pixels: Pixels


def find(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """The files in a folder, and in those inside, that look like pictures, in order.

    With `only`, those with one of these words in the name or in their line of a `captions.jsonl` that lies beside
    them. Raises BadInput when the folder is missing or may not be read.
    """
    if not folder.is_dir():
        raise api.BadInput(f"There is no folder {folder}.", "Check the path.")
    try:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        files = [path for path in files if not path.name.startswith(".") and path.is_file()]
    except OSError as error:
        raise api.BadInput(f"The folder {folder} may not be read.", "Change its permissions.") from error
    words = [word.casefold() for word in only if word.strip()]
    if not words:
        return files
    said = {place: _captions(place / CAPTIONS) for place in {path.parent for path in files}}
    return [
        path
        for path in files
        if any(word in f"{path.name} {said[path.parent].get(path.name, '')}".casefold() for word in words)
    ]


def _captions(path: Path) -> dict[str, str]:
    """{file name: its line}; lines that cannot be read are passed over."""
    found: dict[str, str] = {}
    try:
        lines = path.read_text("utf-8-sig").split("\n")  # and not at the other breaks that JSON may hold
    except (OSError, UnicodeDecodeError):
        return found
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and isinstance(value.get("file"), str):
            found[value["file"]] = " ".join(str(part) for part in value.values())
    return found


def count(folder: Path, most: int = MOST) -> int:
    """How many pictures a folder seems to hold, up to `most`; 0 where it cannot be told. Looks at 20,000 names."""
    try:
        names = islice(folder.rglob("*"), 20_000)
        return sum(1 for _ in islice((path for path in names if path.suffix.lower() in SUFFIXES), most))
    except OSError:
        return 0


def read(path: Path, side: int) -> Sample:
    """One picture over white, its shorter side scaled down to `side` px where it is longer. Raises BadInput."""
    from PIL import Image

    image = api.images.open_picture(path)
    if image.mode == "RGBA":
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image)
        image = ground.convert("RGB")
    scale = side / min(image.size)
    if scale < 1:
        width, height = (max(1, round(length * scale)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return Sample(path, np.asarray(image))


def read_all(
    folder: Path, side: int, only: Sequence[str] = ()
) -> Generator[api.Event, None, tuple[list[Sample], dict[str, str]]]:
    """Reads a folder's pictures, saying how far it is, and gives (pictures, {name: why it was skipped})."""
    found = find(folder, only)
    if len(found) > MOST:
        yield api.Notice(f"Only {MOST:,} of the {len(found):,} pictures in {folder.name} are used.", "warning")
        found = [found[number * len(found) // MOST] for number in range(MOST)]
    samples: list[Sample] = []
    skipped: dict[str, str] = {}
    for number, path in enumerate(found):
        if number % 50 == 0:
            yield api.Progress(0, 0, f"Reading pictures: {number:,} of {len(found):,}")
        try:
            samples.append(read(path, side))
        except api.BadInput as error:
            skipped[path.name] = str(error)
    if skipped:
        names = ", ".join([*skipped][:10]) + (f" and {len(skipped) - 10} more" if len(skipped) > 10 else "")
        which = "it" if len(skipped) == 1 else "they"
        yield api.Notice(f"Skipped, because {which} cannot be read: {names}.", "warning")
    return samples, skipped


def split(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """(to learn from, to measure on). About one in twenty is held out, told from the names of file and folder alone,
    and at least one where there are two or more; a single picture is both."""
    if len(samples) < 2:
        return [*samples], [*samples]
    held = [sample for sample in samples if _hash(sample.path) < HELD_OUT_SHARE * 2**32]
    held = held[: len(samples) - 1] or [min(samples, key=lambda sample: _hash(sample.path))]
    names = {id(sample) for sample in held}
    return [sample for sample in samples if id(sample) not in names], held


def middle(sample: Sample, size: int, closer: float = 1.0) -> Floats:
    """The middle square of a picture, or of a part so much smaller, [3, size, size] in -1..1."""
    return scaled(_middle(sample, size, closer))


def scaled(pixels: Pixels) -> Floats:
    """[h, w, 3] of bytes as [3, h, w] in -1..1."""
    return (pixels.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)


@dataclass(frozen=True)
class Crops:
    """Random square crops: `batch(step)` is the same for the same seed and step, whatever came before.

    `stream` tells apart what is drawn with one seed, such as photos and paintings. `closer` makes what a crop shows so
    much smaller, as far as the pictures have the pixels.
    """

    samples: Sequence[Sample]
    size: int
    count: int
    seed: int
    stream: int = 0
    flips: bool = True
    closer: float = 1.0

    def batch(self, step: int) -> Floats:
        """[count, 3, size, size] in -1..1."""
        return np.stack([scaled(pixels) for pixels in self.pixels(step, self.size)])

    def pixels(self, step: int, size: int) -> list[Pixels]:
        """The crops of a step as bytes, [size, size, 3]."""
        chance = np.random.default_rng((self.seed, self.stream, step))
        return [self._one(chance, size) for _ in range(self.count)]

    def _one(self, chance: np.random.Generator, size: int) -> Pixels:
        pixels = self.samples[int(chance.integers(len(self.samples)))].pixels
        least, y, x, flip = chance.uniform(SMALLEST_SHARE, LARGEST_SHARE), *chance.uniform(size=3)
        height, width = pixels.shape[:2]
        short = min(height, width)
        side = min(max(least * short / self.closer, size), short)
        made = _cut(pixels, (y * (height - side), x * (width - side)), side, size)
        return made[:, ::-1] if self.flips and flip < 0.5 else made


@dataclass(frozen=True)
class Pairs:
    """Crops of photos, and an effect over them, to learn the one from the other."""

    crops: Crops
    effect: registry.Effect

    def batch(self, step: int) -> tuple[Floats, Floats]:
        """(photos, targets), each [count, 3, size, size] in -1..1."""
        photos = self.crops.pixels(step, self.crops.size + 2 * MARGIN)
        seeds = np.random.default_rng((self.crops.seed, self.crops.stream, step, 1)).integers(2**31, size=len(photos))
        return self._of(photos, [int(seed) for seed in seeds])

    def middles(self, samples: Sequence[Sample]) -> tuple[Floats, Floats]:
        """(photos, targets) of the middles of some pictures, as `batch` gives them."""
        photos = [_middle(sample, self.crops.size + 2 * MARGIN) for sample in samples]
        return self._of(photos, [self.crops.seed] * len(photos))

    def _of(self, photos: Sequence[Pixels], seeds: Sequence[int]) -> tuple[Floats, Floats]:
        made = [registry.paint(self.effect, photo, seed) for photo, seed in zip(photos, seeds, strict=True)]
        inside = slice(MARGIN, -MARGIN)
        seen, wanted = (np.stack([scaled(one[inside, inside]) for one in some]) for some in (photos, made))
        return seen, wanted


def _middle(sample: Sample, size: int, closer: float = 1.0) -> Pixels:
    height, width = sample.pixels.shape[:2]
    side = min(height, width, max(size, min(height, width) / closer))
    return _cut(sample.pixels, ((height - side) / 2, (width - side) / 2), side, size)


def _cut(pixels: Pixels, corner: tuple[float, float], side: float, size: int) -> Pixels:
    from PIL import Image

    top, left = int(corner[0]), int(corner[1])
    cut = pixels[top : int(np.ceil(corner[0] + side)), left : int(np.ceil(corner[1] + side))]
    y, x = corner[0] - top, corner[1] - left
    box = (x, y, min(x + side, cut.shape[1]), min(y + side, cut.shape[0]))
    image: Any = Image.fromarray(cut).resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.asarray(image)


def _hash(path: Path) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(f"{path.parent.name}/{path.name}")).digest()[:4])
