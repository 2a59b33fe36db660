"""Pictures as they come: 8 or 16 bits a channel, with what is transparent, and the profile they came with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import profiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ORIENTATION = 0x0112


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
    """The picture in a file, its 16 bits kept where it has them. Raises BadInput as `api.open_picture` does."""
    import numpy as np

    image = api.open_picture(path)
    deep, profile, orientation = _about(path)
    if deep and (found := _deep(path, orientation)) is not None:
        del image
        converted = profiles.to_srgb(found[0], profile) if profile else found[0]
        if converted is not None:
            return Picture(converted, found[1], profile)
        image = api.open_picture(path)
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


def _about(path: Path) -> tuple[bool, bytes, int]:
    """Whether it has 16 bits a channel, its profile, and its EXIF orientation."""
    from PIL import Image

    with Image.open(path) as image:
        deep = ";16" in f"{image.mode} {image.tile}"
        profile = image.info.get("icc_profile") or b""
        return deep, profile, image.getexif().get(ORIENTATION, 1) if deep else 1


def _deep(path: Path, orientation: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None] | None:
    """Red, green and blue, and what is transparent; None where OpenCV cannot read 16 bits from it."""
    import cv2
    import numpy as np

    try:
        found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if found is None or found.dtype != np.uint16:
        return None
    found = _turned(found, orientation)
    if found.ndim == 2:
        return np.repeat(found[..., None], 3, axis=2), None
    alpha = np.ascontiguousarray(found[..., 3]) if found.shape[2] == 4 else None
    return np.ascontiguousarray(found[..., 2::-1]), alpha


def _turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """As the EXIF standard tells: a mirror image first, then quarter turns to the left."""
    import numpy as np

    mirrored, turns = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3)}.get(
        orientation, (False, 1 if orientation == 8 else 0)
    )
    return np.rot90(np.fliplr(pixels) if mirrored else pixels, turns)
