"""Measures of a face that tell whether it can be used: sharpness, occlusion, and the part outside of the image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from . import mesh

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 128
"""Side in pixels of the square in which sharpness is measured."""
SHARP_DETAIL = 0.15
"""Detail of a sharp face of 90 px, relative to its contrast: the median of official portraits."""
MAX_COLOUR_DISTANCE = 22.0
"""Distance in Lab (a and b) from the colour of the skin from which a point is covered."""
MAX_LIGHTNESS_DISTANCE = 45.0


def measure_sharpness(image: NDArray[np.uint8], points: NDArray[np.float32]) -> float:
    """Measure the finest detail of a face relative to its contrast, 0..1. A face that was enlarged has little."""
    import cv2
    import numpy as np

    matrix = _level_square(points)
    square = mesh.cut_square(image, matrix, SIDE)
    grey = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY).astype(np.float32)
    inner = grey[SIDE // 8 : -SIDE // 8, SIDE // 8 : -SIDE // 8]
    detail = grey - cv2.GaussianBlur(grey, (0, 0), 1.2)
    contrast = float(inner.std())
    if contrast < 1:
        return 0.0
    fine = float(detail[SIDE // 8 : -SIDE // 8, SIDE // 8 : -SIDE // 8].std())
    return min(1.0, fine / contrast / SHARP_DETAIL)


def estimate_occlusion(image: NDArray[np.uint8], points: NDArray[np.float32], confidence: float) -> float:
    """Estimate the part of a face that is covered, from points whose colour is far from that of the skin.

    Beards and deep shadows count as well. A mesh that is not confident counts as half covered.
    """
    import cv2
    import numpy as np

    height, width = image.shape[:2]
    at = np.rint(points[_skin_points(), :2]).astype(int)
    inside = (at[:, 0] >= 0) & (at[:, 1] >= 0) & (at[:, 0] < width) & (at[:, 1] < height)
    at = at[inside]
    if len(at) < 50:
        return 1.0
    left, top = np.maximum(at.min(0) - 3, 0)
    right, bottom = at.max(0) + 4
    part = cv2.GaussianBlur(image[top:bottom, left:right], (0, 0), max(0.5, (right - left) / 120))
    lab = cv2.cvtColor(part.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    colours = lab[at[:, 1] - top, at[:, 0] - left]
    middle = np.median(colours, axis=0)
    far = np.hypot(*(colours[:, 1:] - middle[1:]).T) > MAX_COLOUR_DISTANCE
    far |= np.abs(colours[:, 0] - middle[0]) > MAX_LIGHTNESS_DISTANCE
    return max(float(far.mean()), 0.0 if confidence >= 0.5 else 0.5)


def measure_outside(points: NDArray[np.float32], width: int, height: int) -> float:
    """Return the part of the mesh that lies outside of an image."""
    import numpy as np

    x, y = points[:, 0], points[:, 1]
    return float(np.mean((x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)))


def _skin_points() -> list[int]:
    """Return the points of the mesh that are neither eyes, brows nor lips."""
    groups = (mesh.LEFT_EYE, mesh.RIGHT_EYE, mesh.LEFT_BROW, mesh.RIGHT_BROW, mesh.LIPS, mesh.INNER_LIPS)
    other = {index for group in groups for index in group}
    return [index for index in range(468) if index not in other]


def _level_square(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the matrix from a square of `SIDE` px onto the face, with level eyes and the mesh within it."""
    import numpy as np

    (left_x, left_y), (right_x, right_y) = mesh.eye_centers(points)
    angle = math.atan2(right_y - left_y, right_x - left_x)
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    x, y = (low + high) / 2
    scale = float((high - low).max()) / SIDE
    cos, sin, half = math.cos(angle) * scale, math.sin(angle) * scale, SIDE / 2
    return np.array([[cos, -sin, x - cos * half + sin * half], [sin, cos, y - sin * half - cos * half]])
