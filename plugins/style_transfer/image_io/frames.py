"""Reads the frames of videos, animated images and folders of numbered images."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

from . import image16
from .image16 import RasterImage

if TYPE_CHECKING:
    from PIL import Image

ANIMATION_SUFFIXES = (".gif", ".webp", ".png", ".apng")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
FRAME_SUFFIXES = api.images.IMAGE_SUFFIXES - {".gif"}
DEFAULT_FPS = 24.0
MAX_FPS = 240.0


@dataclass(frozen=True)
class RasterFrame:
    """A frame, and the seconds for which it is shown."""

    image: RasterImage
    seconds: Fraction


@dataclass(frozen=True)
class Video:
    """A video whose frames are decoded on demand; all have one size."""

    frames: Callable[[], Iterator[RasterFrame]]
    count: int
    """Number of frames, an estimate for a video; 0 where it is not known before they are decoded."""
    fps: float
    """Frames a second, on average."""
    sound: Path | None = None


def open_video(path: Path) -> Video:
    """Open a video, GIF, WebP or APNG. Raises BadInput for a file that cannot be read or has no frames."""
    source = api.animations.open_animation(path)

    def decode() -> Iterator[RasterFrame]:
        with closing(source.decode()) as frames:
            for frame in frames:
                yield RasterFrame(_to_raster(frame.picture), frame.seconds)

    return Video(decode, source.count, min(MAX_FPS, float(source.rate)), source.sound)


def open_frame_folder(folder: Path, fps: float, warn: Callable[[str], None]) -> Video:
    """Open the images of a folder in natural order (2 before 10), at the size of the first.

    An image that cannot be read is replaced by the frame before it, and `warn` gets a sentence. Raises BadInput where
    there are no images.
    """
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in FRAME_SUFFIXES and path.name[0] != "."]
    except OSError as error:
        raise api.BadInput(f"The folder {folder.name} cannot be read: {error.strerror or error}.") from error
    if not paths:
        raise api.BadInput(f"There are no images in {folder.name}.", "Choose a folder of frames.")
    paths.sort(key=_natural_sort_key)
    seconds = 1 / api.animations.to_rate(fps)

    def decode() -> Iterator[RasterFrame]:
        previous: RasterImage | None = None
        for path in paths:
            try:
                image = image16.open_image(path)
                previous = image.resize(previous.size) if previous else image
            except api.BadInput as error:
                if previous is None:
                    raise
                warn(f"{error} The previous frame is used instead.")
            yield RasterFrame(previous, seconds)

    return Video(decode, len(paths), fps)


def _to_raster(frame: Image.Image) -> RasterImage:
    import numpy as np

    pixels = np.asarray(frame)
    if pixels.shape[2] == 3:
        return RasterImage(pixels)
    return RasterImage(np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3]))


def _natural_sort_key(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", path.name)]
