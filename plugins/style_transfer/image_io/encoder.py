"""Writes styled images in the format of the original, with its ICC profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import icc_profiles

if TYPE_CHECKING:
    from .image16 import RasterImage

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 4},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 92},
    "AVIF": {"quality": 88, "subsampling": "4:4:4"},
    "TIFF": {"compression": "tiff_deflate"},
}


def to_output_name(name: Path) -> Path:
    """Return the name under which the styled image is saved: ``.png`` is added to formats that cannot be written."""
    return name if name.suffix.lower() in FORMATS else name.with_name(f"{name.name}.png")


def save_image(path: Path, image: RasterImage, before_commit: Callable[[Path], None] = lambda _: None) -> None:
    """Write an image atomically, in the format of its suffix. `before_commit` gets the finished temporary file.

    PNG and TIFF keep 16 bits per channel. At 8 bits the colours are converted back to the image's ICC profile; where
    the profile cannot hold them, and at 16 bits, the file is sRGB and tagged as such. Raises CannotWrite where the
    disk is full, and BadInput for an image that the format cannot hold.
    """
    from PIL import Image

    file_format = FORMATS[path.suffix.lower()]
    if image.rgb.dtype.itemsize == 2 and file_format in ("PNG", "TIFF"):
        return _save_16_bit(path, image, before_commit)
    rgb = image.rgb if image.rgb.dtype.itemsize == 1 else (image.rgb // 257).astype("uint8")
    in_profile = icc_profiles.from_srgb8(rgb, image.profile) if image.profile else None
    pillow_image = Image.fromarray(rgb if in_profile is None else in_profile)
    if image.alpha is not None and file_format != "JPEG":
        alpha = image.alpha if image.alpha.dtype.itemsize == 1 else (image.alpha // 257).astype("uint8")
        pillow_image.putalpha(Image.fromarray(alpha))
    profile = build_srgb_profile() if in_profile is None else image.profile
    with api.atomic_write(path) as part:
        try:
            pillow_image.save(part, file_format, icc_profile=profile, **_OPTIONS[file_format])
        except ValueError as error:
            width, height = image.size
            raise api.BadInput(
                f"{file_format} cannot store an image of {width:,} × {height:,} px.", "Save the image as PNG."
            ) from error
        before_commit(part)
    return None


def build_srgb_profile() -> bytes:
    """Build the ICC profile of sRGB."""
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _save_16_bit(path: Path, image: RasterImage, before_commit: Callable[[Path], None]) -> None:
    """Save through OpenCV, since Pillow writes no 16-bit colour. Readers take an untagged file for sRGB."""
    import cv2
    import numpy as np

    pixels = image.to_array()
    bgr_order = [2, 1, 0, 3][: pixels.shape[2]]
    encoded, content = cv2.imencode(path.suffix.lower(), np.ascontiguousarray(pixels[..., bgr_order]))
    if not encoded:
        raise api.BadInput(f"{path.name} cannot be saved at 16 bits per channel.", "Save the image as PNG.")
    with api.atomic_write(path) as part:
        part.write_bytes(content.tobytes())
        before_commit(part)
