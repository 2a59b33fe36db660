"""Images and masks: opened and extended for the pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


def open_image(path: Path) -> Picture:
    """Open an image as RGB, on white where it is transparent."""
    return api.images.flatten_alpha(api.images.open_picture(path))


def open_mask(path: Path, size: tuple[int, int]) -> Picture:
    """Open a mask as 8-bit grey, resized to `size` (width, height). White marks what may change."""
    from PIL import Image

    mask = open_image(path).convert("L")
    return mask if mask.size == size else mask.resize(size, Image.Resampling.BILINEAR)


def dilate_mask(mask: Picture, pixels: int) -> Picture:
    """Widen the white of a mask by `pixels` on each side."""
    import cv2
    import numpy as np
    from PIL import Image

    if pixels < 1:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return Image.fromarray(cv2.dilate(np.asarray(mask), kernel))


def extend_canvas(picture: Picture, frame: tuple[int, int, int, int], *, mirror: bool) -> Picture:
    """Add a frame of (left, top, right, bottom) pixels: mirrored from the picture, or white."""
    import numpy as np
    from PIL import Image

    if not any(frame):
        return picture
    left, top, right, bottom = frame
    pixels = np.asarray(picture)
    widths = ((top, bottom), (left, right), (0, 0))[: pixels.ndim]
    if mirror:
        return Image.fromarray(np.pad(pixels, widths, mode="symmetric"))
    return Image.fromarray(np.pad(pixels, widths, constant_values=255))
