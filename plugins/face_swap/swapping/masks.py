"""Masks of a face, from the polygons of its mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..faces import mesh

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.float32]
    Points = NDArray[np.float32]

KEPT_MARGIN = 1.35
"""Enlargement of the polygons of eyes and mouth that are kept."""


def build_face_mask(
    points: Points, height: int, width: int, *, erode: float, feather: float, keep_eyes: bool, keep_mouth: bool
) -> Mask:
    """Build the mask [height, width] in 0..1 of what is replaced. Lengths are relative to the distance of the eyes.

    The edge is drawn in by `erode` and softened by a Gaussian of `feather`. Eyes and the inner mouth are left out if
    they are kept.
    """
    import numpy as np

    unit = measure_eyes(points)
    mask = _erode(fill_polygon(_hull(points), height, width), erode * unit)
    kept = [(mesh.LEFT_EYE, keep_eyes), (mesh.RIGHT_EYE, keep_eyes), (mesh.INNER_LIPS, keep_mouth)]
    for group, is_kept in kept:
        if is_kept:
            mask[fill_polygon(_enlarge(points[list(group), :2], KEPT_MARGIN), height, width) > 0] = 0
    soft = _blur(mask, feather * unit)
    return np.asarray(np.clip(soft, 0, 1), np.float32)


def build_skin_mask(points: Points, height: int, width: int) -> NDArray[np.bool_]:
    """Build the mask of the skin: the eroded face without eyes, brows, lips and nostrils."""
    import numpy as np

    skin = _erode(fill_polygon(_hull(points), height, width), 0.15 * measure_eyes(points)) > 0
    for group in (mesh.LEFT_EYE, mesh.RIGHT_EYE, mesh.LEFT_BROW, mesh.RIGHT_BROW, mesh.LIPS, mesh.NOSTRILS):
        skin &= fill_polygon(_enlarge(points[list(group), :2], 1.3), height, width) == 0
    return np.asarray(skin, np.bool_)


def measure_eyes(points: Points) -> float:
    """Return the distance of the eyes in pixels, at least that of a face which is seen from the side."""
    import numpy as np

    left, right = mesh.eye_centers(points)
    tall = float(np.linalg.norm(points[mesh.CHIN, :2] - points[mesh.FOREHEAD, :2])) * 0.35
    return max(1.0, float(np.linalg.norm(right - left)), tall)


def fill_polygon(polygon: NDArray[np.float32], height: int, width: int) -> Mask:
    import cv2
    import numpy as np

    mask = np.zeros((height, width), np.float32)
    cv2.fillPoly(mask, [np.rint(polygon * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
    return mask


def _hull(points: Points) -> NDArray[np.float32]:
    """Return the outline of the mesh. In a profile the oval folds, and the convex hull is the outline."""
    import cv2
    import numpy as np

    return np.asarray(cv2.convexHull(points[list(mesh.OVAL), :2]), np.float32).reshape(-1, 2)


def _enlarge(polygon: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    import cv2
    import numpy as np

    hull = np.asarray(cv2.convexHull(polygon), np.float32).reshape(-1, 2)
    center = hull.mean(0)
    return np.asarray((hull - center) * factor + center, np.float32)


def _erode(mask: Mask, radius: float) -> Mask:
    import cv2
    import numpy as np

    size = 2 * round(radius) + 1
    if size <= 1:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0), np.float32)


def _blur(mask: Mask, sigma: float) -> Mask:
    import cv2
    import numpy as np

    return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32) if sigma >= 0.3 else mask
