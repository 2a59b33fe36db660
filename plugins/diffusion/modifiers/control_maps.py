"""Preprocessors: control maps for ControlNets, computed from an image without a model.

All take and return pixels [height, width, 3] of 8 bits; `detail` from 0 to 1 sets how much of the image is kept. Widths
follow the shorter side, so that an image twice as large gives the same map, twice as large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from numpy import ndarray

    Pixels: TypeAlias = ndarray[Any, Any]

Preprocessor: TypeAlias = Literal["as_it_is", "canny", "soft_edges", "scribble", "blur", "tile", "invert"]
LABELS = ("None", "Canny edges", "Soft edges", "Scribble", "Blur", "Tile", "Invert")
_NAME_PARTS: tuple[tuple[Preprocessor, tuple[str, ...]], ...] = (
    ("canny", ("canny",)),
    ("soft_edges", ("softedge", "soft_edge", "soft-edge", "hed", "pidi")),
    ("scribble", ("scribble", "sketch")),
    ("blur", ("blur",)),
    ("tile", ("tile",)),
)


def make_control_map(preprocessor: Preprocessor, pixels: Pixels, detail: float = 0.5) -> Pixels:
    """Make the control map of a preprocessor."""
    return _PREPROCESSORS[preprocessor](pixels, detail)


def guess_preprocessor(name: str) -> Preprocessor:
    """Guess the preprocessor of a ControlNet from its name; ``as_it_is`` where the name does not tell."""
    lower = name.lower()
    return next(
        (preprocessor for preprocessor, parts in _NAME_PARTS if any(part in lower for part in parts)), "as_it_is"
    )


def is_control_map(pixels: Pixels) -> bool:
    """Check whether an image is a control map already: grey lines on black, with at least half of it black."""
    is_grey = (pixels == pixels[..., :1]).all(axis=2)
    return bool(is_grey.all() and (pixels[..., 0] < 8).mean() >= 0.5)


def draw_canny_edges(pixels: Pixels, detail: float = 0.5) -> Pixels:
    """Draw white edges one pixel wide on black (Canny, A Computational Approach to Edge Detection, 1986).

    The thresholds follow the median. The strongest edge of the three colours counts.
    """
    import cv2
    import numpy as np

    high = float(np.clip(1.33 * np.median(pixels), 80, 200)) * 4.0 ** (0.5 - detail)
    return _grey_to_rgb(cv2.Canny(cv2.GaussianBlur(pixels, (0, 0), 0.8), high / 2, high))


def draw_soft_edges(pixels: Pixels, detail: float = 0.5) -> Pixels:
    """Draw lines as bright as the edges are strong, at three widths at once, like learnt edge detectors (HED)."""
    import numpy as np

    strength = np.tanh(_gradient_magnitude(pixels) * 4.0 * 4.0 ** (2 * detail - 1))
    return _grey_to_rgb(np.rint(255 * strength).astype(np.uint8))


def draw_scribble(pixels: Pixels, detail: float = 0.5) -> Pixels:
    """Draw thick white strokes on black, along the ridges of the edges."""
    import cv2
    import numpy as np

    magnitude = _gradient_magnitude(pixels)
    unit = min(magnitude.shape) / 512
    magnitude = cv2.GaussianBlur(magnitude, (0, 0), max(1.0, 2 * unit))
    lines = [np.zeros((3, 3), np.uint8) for _ in range(4)]
    lines[0][1], lines[1][:, 1] = 1, 1
    lines[2][[0, 1, 2], [0, 1, 2]], lines[3][[0, 1, 2], [2, 1, 0]] = 1, 1
    ridge = np.any([magnitude >= cv2.dilate(magnitude, line) for line in lines], axis=0)
    strokes = (ridge & (magnitude > 0.8 * 16.0**-detail)).astype(np.uint8) * 255
    radius = max(1, round(2 * unit))
    return _grey_to_rgb(cv2.dilate(strokes, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)))


def blur(pixels: Pixels, detail: float = 0.5) -> Pixels:
    """Blur by a Gaussian of 1/64 of the shorter side; `detail` 0 is four times that, and 1 a quarter."""
    import cv2

    return cv2.GaussianBlur(pixels, (0, 0), max(0.1, min(pixels.shape[:2]) / 64 * 16.0 ** (0.5 - detail)))


def reduce_detail(pixels: Pixels, detail: float = 0.5) -> Pixels:
    """Scale down to an eighth and up again, for models that add detail; `detail` 0 is a 32nd, and 1 a half."""
    import cv2

    height, width = pixels.shape[:2]
    factor = 8 * 16.0 ** (0.5 - detail)
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    return cv2.resize(
        cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_CUBIC
    )


def invert(pixels: Pixels, _: float = 0.5) -> Pixels:
    """Invert the colours: lines on paper become the white lines on black that ControlNets expect."""
    inverted: Pixels = 255 - pixels
    return inverted


def keep_unchanged(pixels: Pixels, _: float = 0.5) -> Pixels:
    """Return the pixels unchanged."""
    return pixels


_PREPROCESSORS: dict[Preprocessor, Callable[[Pixels, float], Pixels]] = {
    "as_it_is": keep_unchanged,
    "canny": draw_canny_edges,
    "soft_edges": draw_soft_edges,
    "scribble": draw_scribble,
    "blur": blur,
    "tile": reduce_detail,
    "invert": invert,
}


def _gradient_magnitude(pixels: Pixels) -> Pixels:
    """Sum the gradient magnitudes [h, w] at three scales, normalised so that a step counts alike at all of them."""
    import cv2
    import numpy as np

    values = pixels.astype(np.float32) / 255
    unit = max(min(values.shape[:2]) / 512, 0.5)
    magnitude: Pixels = np.zeros(values.shape[:2], np.float32)
    for sigma in (unit, 2 * unit, 4 * unit):
        blurred = cv2.GaussianBlur(values, (0, 0), sigma)
        across, down = (cv2.Sobel(blurred, cv2.CV_32F, *order, scale=0.125) for order in ((1, 0), (0, 1)))
        magnitude += sigma * np.sqrt(across**2 + down**2).max(axis=2)
    return magnitude


def _grey_to_rgb(grey: Pixels) -> Pixels:
    import numpy as np

    return np.repeat(grey[..., None], 3, axis=2)
