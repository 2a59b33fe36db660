"""Pictures of two things on a coloured ground, put together from pictures with a clear ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import captions
from .captions import COLOURS, Subject

HELD_OUT_SHARE = 0.1
WHITE = (255, 255, 255)
Rgba = NDArray[np.uint8]
Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """Two subjects by number, the first at the left, on a ground by its colour word; empty is white."""

    left: int
    right: int
    ground: str

    def caption(self, subjects: Sequence[Subject]) -> str:
        left, right = subjects[self.left], subjects[self.right]
        return captions.complete_caption(f"{left.noun} and {right.noun}", self.ground, left.style)


def is_held_out(left: Subject, right: Subject) -> bool:
    """Whether this pair, in either order and any style, is kept for measuring."""
    return captions.is_held_out(" & ".join(sorted((left.plain, right.plain))), HELD_OUT_SHARE)


def draw_scenes(subjects: Sequence[Subject], count: int, seed: int, *, held_out: bool = False) -> list[Scene]:
    """`count` scenes of two different things of one style, fixed by the seed.

    None of them is held out, or with `held_out` all are. Fewer come back where there are few pairs.
    """
    by_style: dict[str, list[int]] = {}
    for number, subject in enumerate(subjects):
        by_style.setdefault(subject.style, []).append(number)
    groups = [numbers for numbers in by_style.values() if len(numbers) > 1]
    chance = np.random.default_rng((seed, int(held_out)))
    found: list[Scene] = []
    grounds = ["", *COLOURS]
    for _ in range(count * (40 if held_out else 4) if groups else 0):
        if len(found) == count:
            break
        left, right = chance.choice(groups[int(chance.integers(len(groups)))], 2, replace=False)
        ground = grounds[int(chance.integers(len(grounds)))]
        if is_held_out(subjects[left], subjects[right]) == held_out:
            found.append(Scene(int(left), int(right), ground))
    return found


def ground_colour(word: str) -> tuple[int, int, int]:
    """sRGB of a ground; white for an empty word."""
    return COLOURS.get(word, WHITE) if word else WHITE


def paste_on_ground(picture: Rgba, ground: tuple[int, int, int], size: int, *, mirrored: bool = False) -> Rgb:
    """A picture in the middle of a plain ground, as [size, size, 3]."""
    canvas = np.empty((size, size, 3), np.uint8)
    canvas[:] = ground
    _lay(canvas, picture[:, ::-1] if mirrored else picture, size, 0, 0)
    return canvas


def compose_pair(left: Rgba, right: Rgba, ground: tuple[int, int, int], size: int) -> Rgb:
    """Two pictures side by side, each in the middle of its half, as [size, size, 3]."""
    canvas = np.empty((size, size, 3), np.uint8)
    canvas[:] = ground
    side = size // 2
    for number, picture in enumerate((left, right)):
        _lay(canvas, picture, side, number * side, (size - side) // 2)
    return canvas


def _lay(canvas: Rgb, picture: Rgba, side: int, across: int, down: int) -> None:
    from PIL import Image

    size = canvas.shape[0]
    below = Image.fromarray(canvas)
    image = Image.fromarray(np.ascontiguousarray(picture))
    across, down = (max(-side // 8, min(size - side * 7 // 8, place)) for place in (across, down))
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    below.paste(image, (across, down), image if image.mode == "RGBA" else None)
    canvas[:] = np.asarray(below)
