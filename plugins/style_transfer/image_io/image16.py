"""Images with 8 or 16 bits per channel, their alpha channel and the ICC profile of the file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import icc_profiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROWS = 256
"""Rows computed at once."""


@dataclass(frozen=True)
class RasterImage:
    """An sRGB image; `rgb` is [h, w, 3] and `alpha` [h, w], both uint8 or both uint16."""

    rgb: NDArray[Any]
    alpha: NDArray[Any] | None = None
    profile: bytes = b""
    """ICC profile of the file, before the colours were converted to sRGB."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.rgb.shape[:2]
        return width, height

    @property
    def max_value(self) -> int:
        """Value of white: 255 or 65,535."""
        return 65535 if self.rgb.dtype.itemsize == 2 else 255

    def to_array(self) -> NDArray[Any]:
        """Return [h, w, 3], or [h, w, 4] with an alpha channel."""
        import numpy as np

        return self.rgb if self.alpha is None else np.dstack([self.rgb, self.alpha])

    def resize(self, size: tuple[int, int]) -> RasterImage:
        """Resize to (width, height): by averaging to shrink, by cubic interpolation to enlarge."""
        if size == self.size:
            return self
        alpha = None if self.alpha is None else resize(self.alpha, size)
        return replace(self, rgb=resize(self.rgb, size), alpha=alpha)


def open_image(path: Path) -> RasterImage:
    """Open an image file, at 16 bits per channel where it has them. Raises BadInput."""
    import numpy as np

    image = api.images.open_picture(path)
    try:
        deep_format, profile = _read_format(path)
    except OSError as error:
        raise api.BadInput(f"{path.name} can no longer be read: {error.strerror or error}.") from error
    if deep_format is not None and (channels := _read_16_bit(path, deep_format)) is not None:
        has_alpha = image.mode == "RGBA"
        del image
        rgb, alpha = channels
        converted = icc_profiles.to_srgb(rgb, profile) if profile else rgb
        if converted is not None:
            return RasterImage(converted, alpha if has_alpha else None, profile)
        image = api.images.open_picture(path)
    pixels = np.asarray(image)
    if pixels.shape[2] == 3:
        return RasterImage(pixels, None, profile)
    return RasterImage(np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3]), profile)


def resize(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize [h, w] or [h, w, 3] to (width, height)."""
    import cv2

    smaller = size[0] < values.shape[1] or size[1] < values.shape[0]
    resized: NDArray[Any] = cv2.resize(values, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return resized


def mirror_indices(length: int, total: int) -> NDArray[np.intp]:
    """Return `total` indices into a row of `length` that continue it by reflection, without repeating the edge."""
    import numpy as np

    if length == 1:
        return np.zeros(total, np.intp)
    indices = np.arange(total) % (2 * (length - 1))
    return np.where(indices < length, indices, 2 * (length - 1) - indices)


@dataclass(frozen=True)
class _DeepFormat:
    """Properties of a 16-bit file that OpenCV does not report."""

    orientation: int
    """EXIF orientation left to apply: OpenCV applies it to TIFF alone."""
    premultiplied: bool
    """True if the colours are multiplied by alpha."""


def _read_format(path: Path) -> tuple[_DeepFormat | None, bytes]:
    """Return the format of a 16-bit file (None for 8 bits) and the ICC profile."""
    with api.images.open_undecoded(path) as image:
        layout = f"{image.mode} {image.tile}"
        profile = image.info.get("icc_profile") or b""
        if ";16" not in layout:
            return None, profile
        orientation = 1 if image.format == "TIFF" else api.images.read_orientation(image)
        return _DeepFormat(orientation, "RGBa;16" in layout), profile


def _read_16_bit(path: Path, deep_format: _DeepFormat) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None] | None:
    """Return RGB and alpha; None where OpenCV cannot read 16 bits from the file."""
    import cv2
    import numpy as np

    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, OSError):
        return None
    if pixels is None or pixels.dtype != np.uint16:
        return None
    deep: NDArray[np.uint16] = apply_orientation(pixels, deep_format.orientation)
    if deep.ndim == 2:
        return np.repeat(deep[..., None], 3, axis=2), None
    alpha = np.ascontiguousarray(deep[..., 3]) if deep.shape[2] == 4 else None
    rgb = np.ascontiguousarray(deep[..., 2::-1])
    if deep_format.premultiplied and alpha is not None:
        rgb = _unpremultiply(rgb, alpha)
    return rgb, alpha


def _unpremultiply(rgb: NDArray[np.uint16], alpha: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Divide the colours by alpha."""
    import numpy as np

    straight = np.empty_like(rgb)
    for start in range(0, len(rgb), ROWS):
        rows = slice(start, start + ROWS)
        opacity = np.maximum(alpha[rows], 1)[..., None] / np.float32(65535)
        straight[rows] = np.minimum(rgb[rows] / opacity + np.float32(0.5), 65535).astype(np.uint16)
    return straight


def apply_orientation(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation: a mirror image first, then quarter turns to the left."""
    import numpy as np

    mirrored, turns = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3)}.get(
        orientation, (False, 1 if orientation == 8 else 0)
    )
    return np.rot90(np.fliplr(pixels) if mirrored else pixels, turns)
