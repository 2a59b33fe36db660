"""Pictures and masks, brought to where the pipelines want them, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


def open_image(path: Path) -> Picture:
    """As RGB, on white where it is transparent."""
    return flatten_alpha(api.images.open_picture(path))


def flatten_alpha(picture: Picture) -> Picture:
    """As RGB, what is transparent laid on white."""
    from PIL import Image

    if picture.mode != "RGBA":
        return picture
    ground = Image.new("RGBA", picture.size, "#ffffff")
    ground.alpha_composite(picture)
    return ground.convert("RGB")


def crop_to_fit(picture: Picture, size: tuple[int, int]) -> Picture:
    """Filling (width, height), with what stands over cut off evenly."""
    from PIL import Image, ImageOps

    return picture if picture.size == size else ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


def open_mask(path: Path, size: tuple[int, int]) -> Picture:
    """A mask as grey, white where the picture may change, of a picture's size."""
    from PIL import Image

    mask = open_image(path).convert("L")
    return mask if mask.size == size else mask.resize(size, Image.Resampling.BILINEAR)


def dilate_mask(mask: Picture, pixels: int) -> Picture:
    """The white of a mask, `pixels` wider on each side."""
    import cv2
    import numpy as np
    from PIL import Image

    if pixels < 1:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return Image.fromarray(cv2.dilate(np.asarray(mask), kernel))


def extend_canvas(picture: Picture, frame: tuple[int, int, int, int], *, mirror: bool) -> Picture:
    """With a frame of (left, top, right, bottom) pixels: mirrored from the picture, or white."""
    import numpy as np
    from PIL import Image

    if not any(frame):
        return picture
    left, top, right, bottom = frame
    pixels = np.asarray(picture)
    wide = ((top, bottom), (left, right), (0, 0))[: pixels.ndim]
    if mirror:
        return Image.fromarray(np.pad(pixels, wide, mode="symmetric"))
    return Image.fromarray(np.pad(pixels, wide, constant_values=255))
