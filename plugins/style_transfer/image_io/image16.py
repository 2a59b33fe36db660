"""Pictures as they come: 8 or 16 bits a channel, with what is transparent, and the profile they came with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import icc_profiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ORIENTATION = 0x0112
ROWS = 256
"""Rows that are computed at once."""


@dataclass(frozen=True)
class Picture:
    """sRGB; `rgb` is [h, w, 3] and `alpha` [h, w], both uint8 or both uint16."""

    rgb: NDArray[Any]
    alpha: NDArray[Any] | None = None
    profile: bytes = b""
    """The profile that the file had, before the colours were converted to sRGB."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.rgb.shape[:2]
        return width, height

    @property
    def top(self) -> int:
        """What white is: 255 or 65,535."""
        return 65535 if self.rgb.dtype.itemsize == 2 else 255

    def array(self) -> NDArray[Any]:
        """[h, w, 3], or [h, w, 4] where something is transparent."""
        import numpy as np

        return self.rgb if self.alpha is None else np.dstack([self.rgb, self.alpha])

    def scaled(self, size: tuple[int, int]) -> Picture:
        """At a width and height: averaged where it becomes smaller, smoothly enlarged where it becomes larger."""
        if size == self.size:
            return self
        alpha = None if self.alpha is None else scaled(self.alpha, size)
        return replace(self, rgb=scaled(self.rgb, size), alpha=alpha)


def opened(path: Path) -> Picture:
    """The picture in a file, its 16 bits kept where it has them. Raises BadInput as `api.images.open_picture` does."""
    import numpy as np

    image = api.images.open_picture(path)
    try:
        deep, profile = _about(path)
    except OSError as error:
        raise api.BadInput(f"{path.name} can no longer be read: {error.strerror or error}.") from error
    if deep is not None and (found := _read_deep(path, deep)) is not None:
        transparent = image.mode == "RGBA"
        del image
        converted = icc_profiles.to_srgb(found[0], profile) if profile else found[0]
        if converted is not None:
            return Picture(converted, found[1] if transparent else None, profile)
        image = api.images.open_picture(path)
    pixels = np.asarray(image)
    if pixels.shape[2] == 3:
        return Picture(pixels, None, profile)
    return Picture(np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3]), profile)


def fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Width and height with a long side of at most `longest` px; 0 leaves them as they are."""
    if not longest or max(size) <= longest:
        return size
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    return width, height


def scaled(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """[h, w] or [h, w, 3] at a width and height."""
    import cv2

    smaller = size[0] < values.shape[1] or size[1] < values.shape[0]
    resized: NDArray[Any] = cv2.resize(values, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return resized


def mirrored(length: int, total: int) -> NDArray[np.intp]:
    """For `total` places, those of a row of `length` that they show, to and fro without repeating the edge."""
    import numpy as np

    if length == 1:
        return np.zeros(total, np.intp)
    places = np.arange(total) % (2 * (length - 1))
    return np.where(places < length, places, 2 * (length - 1) - places)


@dataclass(frozen=True)
class _Deep:
    """What OpenCV does not tell of a picture of 16 bits a channel."""

    orientation: int
    """By which it is still to be turned: OpenCV turns TIFF, and TIFF alone."""
    premultiplied: bool
    """Whether its colours were multiplied with what is transparent."""


def _about(path: Path) -> tuple[_Deep | None, bytes]:
    """Of a picture with 16 bits a channel what there is to know, and its profile."""
    from PIL import Image

    with Image.open(path) as image:
        layout = f"{image.mode} {image.tile}"
        profile = image.info.get("icc_profile") or b""
        if ";16" not in layout:
            return None, profile
        orientation = 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION, 1)
        return _Deep(orientation, "RGBa;16" in layout), profile


def _read_deep(path: Path, about: _Deep) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None] | None:
    """Red, green and blue, and what is transparent; None where OpenCV cannot read 16 bits from it."""
    import cv2
    import numpy as np

    try:
        found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, OSError):
        return None
    if found is None or found.dtype != np.uint16:
        return None
    found = _turned(found, about.orientation)
    if found.ndim == 2:
        return np.repeat(found[..., None], 3, axis=2), None
    alpha = np.ascontiguousarray(found[..., 3]) if found.shape[2] == 4 else None
    rgb = np.ascontiguousarray(found[..., 2::-1])
    if about.premultiplied and alpha is not None:
        rgb = _divided(rgb, alpha)
    return rgb, alpha


def _divided(rgb: NDArray[np.uint16], alpha: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Colours as they were before they were multiplied with what is transparent."""
    import numpy as np

    made = np.empty_like(rgb)
    for start in range(0, len(rgb), ROWS):
        rows = slice(start, start + ROWS)
        share = np.maximum(alpha[rows], 1)[..., None] / np.float32(65535)
        made[rows] = np.minimum(rgb[rows] / share + np.float32(0.5), 65535).astype(np.uint16)
    return made


def _turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """As the EXIF standard tells: a mirror image first, then quarter turns to the left."""
    import numpy as np

    mirrored, turns = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3)}.get(
        orientation, (False, 1 if orientation == 8 else 0)
    )
    return np.rot90(np.fliplr(pixels) if mirrored else pixels, turns)
