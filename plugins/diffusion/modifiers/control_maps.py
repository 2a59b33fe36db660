"""Guides: what a ControlNet looks at, drawn from a picture without a model.

All take pixels [height, width, 3] of 8 bits and give the same, and `detail` from 0 to 1 says
how much of the picture they keep. Widths follow the shorter side, so that a picture twice as
large gives the same drawing, twice as large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from numpy import ndarray

    Pixels: TypeAlias = ndarray[Any, Any]

Preprocessor: TypeAlias = Literal["as_it_is", "canny", "soft_edges", "scribble", "blur", "tile", "invert"]
LABELS = ("As it is", "Fine edges (canny)", "Soft edges", "Scribble", "Blur", "Tile", "Inverted")
_WORDS: tuple[tuple[Preprocessor, tuple[str, ...]], ...] = (
    ("canny", ("canny",)),
    ("soft_edges", ("softedge", "soft_edge", "soft-edge", "hed", "pidi")),
    ("scribble", ("scribble", "sketch")),
    ("blur", ("blur",)),
    ("tile", ("tile",)),
)


def make_control_map(guide: Preprocessor, pixels: Pixels, detail: float = 0.5) -> Pixels:
    """A guide of a kind."""
    return _DRAWN[guide](pixels, detail)


def guess_preprocessor(name: str) -> Preprocessor:
    """What the name of a ControlNet says that it wants; the picture as it is, where it says nothing."""
    words = name.lower()
    return next((guide for guide, marks in _WORDS if any(mark in words for mark in marks)), "as_it_is")


def is_control_map(pixels: Pixels) -> bool:
    """Whether a picture is a guide already: grey lines on black, with at least half of it black."""
    grey = (pixels == pixels[..., :1]).all(axis=2)
    return bool(grey.all() and (pixels[..., 0] < 8).mean() >= 0.5)


def canny(pixels: Pixels, detail: float = 0.5) -> Pixels:
    """White edges one pixel wide on black. Thresholds follow the median; of the colours, the strongest edge counts.

    Canny, A Computational Approach to Edge Detection, 1986.
    """
    import cv2
    import numpy as np

    high = float(np.clip(1.33 * np.median(pixels), 80, 200)) * 4.0 ** (0.5 - detail)
    return _of_one(cv2.Canny(cv2.GaussianBlur(pixels, (0, 0), 0.8), high / 2, high))


def soft_edges(pixels: Pixels, detail: float = 0.5) -> Pixels:
    """Lines as strong as the edges are, at three widths at once, like those of learnt edge detectors."""
    import numpy as np

    strength = np.tanh(_slopes(pixels) * 4.0 * 4.0 ** (2 * detail - 1))
    return _of_one(np.rint(255 * strength).astype(np.uint8))


def scribble(pixels: Pixels, detail: float = 0.5) -> Pixels:
    """Thick white strokes on black, along the ridges of the edges."""
    import cv2
    import numpy as np

    slopes = _slopes(pixels)
    unit = min(slopes.shape) / 512
    slopes = cv2.GaussianBlur(slopes, (0, 0), max(1.0, 2 * unit))
    lines = [np.zeros((3, 3), np.uint8) for _ in range(4)]
    lines[0][1], lines[1][:, 1] = 1, 1
    lines[2][[0, 1, 2], [0, 1, 2]], lines[3][[0, 1, 2], [2, 1, 0]] = 1, 1
    ridge = np.any([slopes >= cv2.dilate(slopes, line) for line in lines], axis=0)
    strokes = (ridge & (slopes > 0.8 * 16.0**-detail)).astype(np.uint8) * 255
    radius = max(1, round(2 * unit))
    return _of_one(cv2.dilate(strokes, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)))


def blur(pixels: Pixels, detail: float = 0.5) -> Pixels:
    """Without what is small: a Gaussian of 1/64 of the shorter side, four times that or a quarter at the ends."""
    import cv2

    return cv2.GaussianBlur(pixels, (0, 0), max(0.1, min(pixels.shape[:2]) / 64 * 16.0 ** (0.5 - detail)))


def tile(pixels: Pixels, detail: float = 0.5) -> Pixels:
    """At an eighth of the size and back, for models that paint the detail anew; a half to a 32nd at the ends."""
    import cv2

    height, width = pixels.shape[:2]
    factor = 8 * 16.0 ** (0.5 - detail)
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    return cv2.resize(
        cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_CUBIC
    )


def invert(pixels: Pixels, _: float = 0.5) -> Pixels:
    """Black for white: lines on paper become the white lines on black that ControlNets know."""
    inverted: Pixels = 255 - pixels
    return inverted


def as_it_is(pixels: Pixels, _: float = 0.5) -> Pixels:
    return pixels


_DRAWN: dict[Preprocessor, Callable[[Pixels, float], Pixels]] = {
    "as_it_is": as_it_is,
    "canny": canny,
    "soft_edges": soft_edges,
    "scribble": scribble,
    "blur": blur,
    "tile": tile,
    "invert": invert,
}


def _slopes(pixels: Pixels) -> Pixels:
    """[h, w] from 0: gradients of the colours at three scales, each such that a step counts alike at all of them."""
    import cv2
    import numpy as np

    values = pixels.astype(np.float32) / 255
    unit = max(min(values.shape[:2]) / 512, 0.5)
    found: Pixels = np.zeros(values.shape[:2], np.float32)
    for sigma in (unit, 2 * unit, 4 * unit):
        soft = cv2.GaussianBlur(values, (0, 0), sigma)
        across, down = (cv2.Sobel(soft, cv2.CV_32F, *way, scale=0.125) for way in ((1, 0), (0, 1)))
        found += sigma * np.sqrt(across**2 + down**2).max(axis=2)
    return found


def _of_one(grey: Pixels) -> Pixels:
    import numpy as np

    return np.repeat(grey[..., None], 3, axis=2)
