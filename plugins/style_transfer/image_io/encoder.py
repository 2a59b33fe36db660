"""Paintings as files beside others: in the format of the picture, with the colour profile that it had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import icc_profiles

if TYPE_CHECKING:
    from .image16 import Picture

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


def name_of(picture: Path) -> Path:
    """Under which name a painting is saved: the picture's, with ``.png`` behind it where its format will not do."""
    return picture if picture.suffix.lower() in FORMATS else picture.with_name(f"{picture.name}.png")


def save(path: Path, picture: Picture, done: Callable[[Path], None] = lambda _: None) -> None:
    """Writes a painting whole or not at all, in the format that its name tells. `done` is told of the finished file
    before it gets that name.

    PNG and TIFF keep 16 bits a channel. At 8 bits the colours go back to the profile that the picture had; where
    that cannot hold them, and at 16 bits, they stay sRGB and say so. Raises CannotWrite where the disk is full, and
    BadInput for a picture that the format cannot hold.
    """
    from PIL import Image

    kind = FORMATS[path.suffix.lower()]
    if picture.rgb.dtype.itemsize == 2 and kind in ("PNG", "TIFF"):
        return _save_deep(path, picture, done)
    shallow = picture.rgb if picture.rgb.dtype.itemsize == 1 else (picture.rgb // 257).astype("uint8")
    own = icc_profiles.from_srgb8(shallow, picture.profile) if picture.profile else None
    image = Image.fromarray(shallow if own is None else own)
    if picture.alpha is not None and kind != "JPEG":
        alpha = picture.alpha if picture.alpha.dtype.itemsize == 1 else (picture.alpha // 257).astype("uint8")
        image.putalpha(Image.fromarray(alpha))
    with api.atomic_write(path) as part:
        try:
            image.save(part, kind, icc_profile=picture.profile if own is not None else srgb(), **_OPTIONS[kind])
        except ValueError as error:
            width, height = picture.size
            raise api.BadInput(
                f"A {kind} cannot hold {width:,} × {height:,} px.", "Save the picture as PNG."
            ) from error
        done(part)
    return None


def srgb() -> bytes:
    """sRGB's profile."""
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _save_deep(path: Path, picture: Picture, done: Callable[[Path], None]) -> None:
    """Through OpenCV, since Pillow writes no 16-bit colour; what says nothing of its colours is taken for sRGB."""
    import cv2
    import numpy as np

    order = [2, 1, 0, 3][: picture.array().shape[2]]
    fits, packed = cv2.imencode(path.suffix.lower(), np.ascontiguousarray(picture.array()[..., order]))
    if not fits:
        raise api.BadInput(f"{path.name} cannot be saved at 16 bits a channel.", "Save the picture as PNG.")
    with api.atomic_write(path) as part:
        part.write_bytes(packed.tobytes())
        done(part)
