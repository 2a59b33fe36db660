"""Warps a face onto the mesh of another one, piecewise affine."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Points = NDArray[np.float32]

TRIANGLES = Path(__file__).with_name("triangles.json")
"""Delaunay triangulation of the mean of 36 frontal meshes, [897, 3]."""
_SHIFT = 4
"""Bits of the fraction of a pixel to which triangles are drawn."""


@cache
def load_triangles() -> NDArray[np.int32]:
    import numpy as np

    return np.array(json.loads(TRIANGLES.read_text("utf-8")), np.int32)


def warp_face(
    source: NDArray[np.uint8], source_points: Points, target_points: Points, height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Warp a face [h, w, 3] onto the mesh of another face.

    Returns the warped face [height, width, 3] in 0..1, and where the mesh covers the image. Far triangles are drawn
    first, so that nearer ones hide them.
    """
    import cv2
    import numpy as np

    source, source_points = _reduce(source, source_points, target_points)
    triangles = load_triangles()
    depth = target_points[triangles, 2].mean(1)
    labels = np.full((height, width), -1, np.int32)
    corners = np.rint(target_points[:, :2] * (1 << _SHIFT)).astype(np.int32)
    for index in np.argsort(-depth):
        cv2.fillConvexPoly(labels, corners[triangles[index]], int(index), cv2.LINE_8, _SHIFT)
    covered = labels >= 0
    matrices = _solve_affine(target_points[triangles, :2], source_points[triangles, :2])
    y, x = np.nonzero(covered)
    own = matrices[labels[covered]]
    maps = np.full((2, height, width), -1, np.float32)
    for axis in range(2):
        maps[axis][covered] = own[:, axis, 0] * x + own[:, axis, 1] * y + own[:, axis, 2]
    warped = cv2.remap(source, maps[0], maps[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32) / np.float32(255), covered


def _reduce(
    source: NDArray[np.uint8], source_points: Points, target_points: Points
) -> tuple[NDArray[np.uint8], Points]:
    """Crop the source to the face, and reduce one that is larger than the target, since the warp does not average."""
    import cv2
    import numpy as np

    low = np.maximum(np.floor(source_points[:, :2].min(0)).astype(int) - 8, 0)
    high = np.maximum(np.ceil(source_points[:, :2].max(0)).astype(int) + 9, low + 1)
    part = source[low[1] : high[1], low[0] : high[0]]
    points = source_points.copy()
    points[:, :2] -= low
    scale = float(np.ptp(target_points[:, :2], axis=0).max() / max(1.0, np.ptp(points[:, :2], axis=0).max()))
    if scale > 0.9 or not part.size:
        return part, points
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    ratio = np.array([size[0] / part.shape[1], size[1] / part.shape[0]], np.float32)
    points[:, :2] = (points[:, :2] + 0.5) * ratio - 0.5
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8), points


def _solve_affine(target: NDArray[np.float32], source: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the matrices [n, 2, 3] that map triangles [n, 3, 2] of the target onto those of the source."""
    import numpy as np

    ones = np.ones((*target.shape[:2], 1))
    system = np.concatenate([target.astype(np.float64), ones], -1)
    areas = np.linalg.det(system)
    flat = np.abs(areas) < 1e-6
    system[flat] += np.eye(3) * 1e-3
    return np.asarray(np.linalg.solve(system, source.astype(np.float64)).transpose(0, 2, 1), np.float32)
