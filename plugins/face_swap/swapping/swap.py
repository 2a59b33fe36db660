"""Puts one face onto another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import blending, colour, masks, warp
from .blending import BlendMethod
from .colour import ColourMethod

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Points = NDArray[np.float32]


@dataclass(frozen=True)
class SwapOptions:
    """Lengths are relative to the distance of the eyes."""

    colours: ColourMethod = "covariance"
    blending: BlendMethod = "multiband"
    strength: float = 1.0
    erode: float = 0.12
    feather: float = 0.08
    keep_eyes: bool = False
    keep_mouth: bool = False
    texture: float = 0.0
    """Part of the finest detail that comes from the target, such as its brush strokes or grain."""


def swap_face(
    target: NDArray[np.uint8],
    target_points: Points,
    source: NDArray[np.uint8],
    source_points: Points,
    options: SwapOptions,
) -> NDArray[np.uint8]:
    """Return the target [h, w, 3] (RGB) with the face of the source in place of one of its own."""
    import numpy as np

    left, top, right, bottom = _choose_region(target_points, target.shape[1], target.shape[0])
    image = target[top:bottom, left:right].astype(np.float32) / np.float32(255)
    points = target_points.copy()
    points[:, :2] -= (left, top)
    height, width = image.shape[:2]
    warped, covered = warp.warp_face(source, source_points, points, height, width)
    skin = masks.build_skin_mask(points, height, width)
    fitted = colour.match_colours(warped, skin & covered, image, skin, options.colours)
    face = np.where(covered[..., None], fitted, image)
    if options.texture:
        face = _transfer_texture(face, image, options.texture, masks.measure_eyes(points))
    mask = masks.build_face_mask(
        points,
        height,
        width,
        erode=options.erode,
        feather=options.feather,
        keep_eyes=options.keep_eyes,
        keep_mouth=options.keep_mouth,
    )
    blended = blending.blend(image, face, mask, options.blending)
    mixed = image + np.float32(options.strength) * (blended - image)
    result = target.copy()
    result[top:bottom, left:right] = np.rint(mixed * 255).astype(np.uint8)
    return result


def _choose_region(points: Points, width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the face with a margin."""
    import numpy as np

    low, high = points[:, :2].min(0), points[:, :2].max(0)
    margin = 0.35 * float((high - low).max())
    left, top = np.clip(np.floor(low - margin).astype(int), 0, (width - 1, height - 1)).tolist()
    right, bottom = np.clip(np.ceil(high + margin).astype(int), (left + 1, top + 1), (width, height)).tolist()
    return left, top, right, bottom


def _transfer_texture(
    face: NDArray[np.float32], image: NDArray[np.float32], amount: float, unit: float
) -> NDArray[np.float32]:
    import cv2
    import numpy as np

    sigma = max(0.6, 0.02 * unit)
    own, other = (array - cv2.GaussianBlur(array, (0, 0), sigma) for array in (face, image))
    return np.asarray(face + np.float32(amount) * (other - own), np.float32)
