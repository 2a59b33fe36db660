"""Composite images of two subjects on a coloured ground, made from images with a transparent background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio import api

from . import captions
from .captions import COLOURS, Subject

HOLDOUT_FRACTION = 0.1
"""Fraction of the pairs that is kept for evaluation."""
WHITE = (255, 255, 255)
Rgba = NDArray[np.uint8]
Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """Two subjects by number, the first on the left, on a ground given by its colour word; empty is white."""

    left: int
    right: int
    ground: str

    def describe(self, subjects: Sequence[Subject]) -> str:
        left, right = subjects[self.left], subjects[self.right]
        return captions.complete_caption(f"{left.noun} and {right.noun}", self.ground, left.style)


def is_held_out(left: Subject, right: Subject) -> bool:
    """Check whether a pair, in either order and any style, is kept for evaluation."""
    return api.datasets.is_held_out(" & ".join(sorted((left.plain, right.plain))), HOLDOUT_FRACTION)


def draw_scenes(subjects: Sequence[Subject], count: int, seed: int, *, held_out: bool = False) -> list[Scene]:
    """Draw scenes of two different subjects of one style, always the same for a seed.

    None of them is held out, or with `held_out` all are. There are fewer than `count` if there are few pairs.
    """
    by_style: dict[str, list[int]] = {}
    for number, subject in enumerate(subjects):
        by_style.setdefault(subject.style, []).append(number)
    groups = [numbers for numbers in by_style.values() if len(numbers) > 1]
    rng = np.random.default_rng((seed, int(held_out)))
    scenes: list[Scene] = []
    grounds = ["", *COLOURS]
    for _ in range(count * (40 if held_out else 4) if groups else 0):
        if len(scenes) == count:
            break
        left, right = rng.choice(groups[int(rng.integers(len(groups)))], 2, replace=False)
        ground = grounds[int(rng.integers(len(grounds)))]
        if is_held_out(subjects[left], subjects[right]) == held_out:
            scenes.append(Scene(int(left), int(right), ground))
    return scenes


def find_ground_colour(word: str) -> tuple[int, int, int]:
    """Return the sRGB values of a ground; white for an empty word."""
    return COLOURS.get(word, WHITE) if word else WHITE


def paste_on_ground(image: Rgba, ground: tuple[int, int, int], size: int, *, mirrored: bool = False) -> Rgb:
    """Return an image in the middle of a plain ground, as [size, size, 3]."""
    canvas = np.empty((size, size, 3), np.uint8)
    canvas[:] = ground
    _paste(canvas, image[:, ::-1] if mirrored else image, size, 0, 0)
    return canvas


def flatten(image: Rgba, ground: tuple[int, int, int], *, mirrored: bool = False) -> Rgb:
    """Return an image of any shape on a plain ground, as [h, w, 3]."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image[:, ::-1] if mirrored else image))
    canvas = Image.new("RGB", picture.size, ground)
    canvas.paste(picture, (0, 0), picture)
    return np.asarray(canvas)


def compose_pair(left: Rgba, right: Rgba, ground: tuple[int, int, int], size: int) -> Rgb:
    """Return two images side by side, each in the middle of its half, as [size, size, 3]."""
    canvas = np.empty((size, size, 3), np.uint8)
    canvas[:] = ground
    side = size // 2
    for number, image in enumerate((left, right)):
        _paste(canvas, image, side, number * side, (size - side) // 2)
    return canvas


def _paste(canvas: Rgb, image: Rgba, side: int, x: int, y: int) -> None:
    """Paste an image, scaled to a square of `side` px, into the canvas near (x, y)."""
    from PIL import Image

    size = canvas.shape[0]
    background = Image.fromarray(canvas)
    square = Image.fromarray(np.ascontiguousarray(image))
    x, y = (max(-side // 8, min(size - side * 7 // 8, place)) for place in (x, y))
    if square.size != (side, side):
        square = square.resize((side, side), Image.Resampling.LANCZOS)
    background.paste(square, (x, y), square if square.mode == "RGBA" else None)
    canvas[:] = np.asarray(background)
