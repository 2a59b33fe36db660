"""Blends a warped face into an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Colours = NDArray[np.float32]
    Mask = NDArray[np.float32]

BlendMethod = Literal["multiband", "poisson", "alpha"]
LEVELS = 5


def blend(image: Colours, face: Colours, mask: Mask, method: BlendMethod) -> Colours:
    """Blend a face into an image [h, w, 3] (RGB, 0..1) by a mask [h, w] in 0..1."""
    import numpy as np

    if method == "multiband":
        blended = _blend_bands(image, face, mask)
    elif method == "poisson":
        blended = _blend_poisson(image, face, mask)
    else:
        blended = image + mask[..., None] * (face - image)
    return np.asarray(np.clip(blended, 0, 1), np.float32)


def _blend_bands(image: Colours, face: Colours, mask: Mask) -> Colours:
    """Blend each band of a Laplacian pyramid with a mask as soft as the band (Burt and Adelson 1983).

    What lies outside of the mask by more than a few pixels keeps its values exactly.
    """
    import cv2
    import numpy as np

    height, width = mask.shape
    levels = max(1, min(LEVELS, int(np.log2(max(2, min(height, width)))) - 2))
    factor = 2**levels
    pad = ((0, -height % factor), (0, -width % factor))
    images = [np.pad(array, (*pad, (0, 0)), mode="edge") for array in (image, face)]
    masks = [np.pad(mask, pad)]
    gaussians = [[array] for array in images]
    for _ in range(levels):
        for pyramid in gaussians:
            pyramid.append(np.asarray(cv2.pyrDown(pyramid[-1]), np.float32))
        masks.append(np.asarray(cv2.pyrDown(masks[-1]), np.float32))
    blended: Colours = gaussians[0][-1] + masks[-1][..., None] * (gaussians[1][-1] - gaussians[0][-1])
    for level in reversed(range(levels)):
        size = masks[level].shape[1], masks[level].shape[0]
        first, second = (pyramid[level] - cv2.pyrUp(pyramid[level + 1], dstsize=size) for pyramid in gaussians)
        blended = cv2.pyrUp(blended, dstsize=size) + first + masks[level][..., None] * (second - first)
    near = cv2.GaussianBlur((mask > 0).astype(np.float32), (0, 0), max(2.0, min(height, width) / 24))
    inside = np.clip(near * 4, 0, 1)[..., None]
    return np.asarray(image + inside * (blended[:height, :width] - image), np.float32)


def _blend_poisson(image: Colours, face: Colours, mask: Mask) -> Colours:
    """Blend the gradients (Pérez et al. 2003). OpenCV changes the mask that it is given, so it gets its own."""
    import cv2
    import numpy as np

    border = 3
    hard = np.pad((mask > 0.5).astype(np.uint8) * 255, border)
    if not hard.any():
        return image
    pad = ((border, border), (border, border), (0, 0))
    first, second = (np.pad(np.rint(array * 255).astype(np.uint8), pad, mode="edge") for array in (image, face))
    x, y, width, height = cv2.boundingRect(hard)
    center = (x + width // 2, y + height // 2)
    cloned = cv2.seamlessClone(second, first, hard.copy(), center, cv2.NORMAL_CLONE)
    cut = np.asarray(cloned, np.float32)[border:-border, border:-border] / np.float32(255)
    changed = cv2.dilate((mask > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))[..., None] > 0
    return np.asarray(np.where(changed, cut, image), np.float32)
