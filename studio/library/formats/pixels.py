"""Converts the images that tools yield into what encoders take: 8 or 16 bits of sRGB."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from studio.core.errors import StudioError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


def to_16_bit(picture: Any) -> NDArray[np.uint16] | None:
    """Convert an image with 16 bits a channel to [height, width, 1 | 3 | 4] of 0..65535; return None for others."""
    import numpy as np
    import PIL.Image

    if isinstance(picture, PIL.Image.Image):
        if not picture.mode.startswith("I;16"):
            return None
        picture = np.asarray(picture.convert("I"), np.int32).clip(0, 65535).astype(np.uint16)
    array = np.asarray(picture)
    return _check_array(array) if array.dtype == np.uint16 else None


def to_8_bit_image(picture: Any) -> Image:
    """Convert an image to a PIL image of mode L, RGB or RGBA.

    `picture` is a PIL image of any mode or an array [height, width] or [height, width, 1 | 3 | 4]:
    uint8 0..255, uint16 0..65535, or floating point 0..1, clipped; NaN counts as 0.
    Raises StudioError for anything else, or for an image without pixels.
    """
    import numpy as np
    import PIL.Image

    if isinstance(picture, PIL.Image.Image) and not picture.mode.startswith(("I", "F")):
        return _normalize_mode(picture)
    if isinstance(picture, PIL.Image.Image) and picture.mode == "F":
        picture = np.asarray(picture)
    elif isinstance(picture, PIL.Image.Image):
        picture = np.asarray(picture.convert("I"), np.int32).clip(0, 65535).astype(np.uint16)
    array = _check_array(np.asarray(picture))
    if array.dtype == np.uint16:
        array = ((array.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.floating):
        array = (np.nan_to_num(array, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return PIL.Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def flatten_alpha(image: Image, background: tuple[int, int, int]) -> Image:
    """Convert an image to RGB, composited over `background` if it has an alpha channel."""
    import PIL.Image

    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = PIL.Image.new("RGB", image.size, background)
    ground.paste(image, mask=image.getchannel("A"))
    return ground


@functools.cache
def srgb_profile() -> bytes:
    """Return an sRGB profile without its creation date, so that it is always the same."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)
    return bytes(profile)


def _normalize_mode(image: Image) -> Image:
    if not all(image.size):
        raise StudioError("The image has no pixels.")
    if image.mode in ("L", "RGB", "RGBA"):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "L" if image.mode == "1" else "RGB")


def _check_array(array: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise StudioError(f"This is not an image: an array of shape {array.shape}.")
    if array.dtype not in (np.uint8, np.uint16) and not np.issubdtype(array.dtype, np.floating):
        raise StudioError(f"This is not an image: an array of {array.dtype}.")
    return np.ascontiguousarray(array)
