"""Renders thumbnails of creations from their files."""

from __future__ import annotations

import io
import subprocess
from contextlib import suppress
from pathlib import Path

from studio.core import animations
from studio.core.errors import BadInput
from studio.core.images import IMAGE_SUFFIXES, open_picture
from studio.library.formats import detection, matroska, mp4
from studio.library.storage import thumbnail_db

FFMPEG_TIMEOUT = 10
POSTER_POSITION = 1 / 3
_READ_SIDE = 2 * thumbnail_db.SIDE
"""Side to which an image is shrunk at least, before it is scaled to its thumbnail."""
_MAYBE_ANIMATED = frozenset({"gif", "png", "webp"})


def render(path: Path) -> bytes | None:
    """Render an image or a video as a JPEG. Return None for another file. Raises BadInput for one that is damaged."""
    format = detection.detect_format(path)
    if format in detection.VIDEO_FORMATS:
        return render_video(path)
    if format in detection.IMAGE_FORMATS or path.suffix.lower() in IMAGE_SUFFIXES:
        return render_image(path)
    return None


def render_image(path: Path) -> bytes:
    """Render an image, or the frame at a third of an animated one. Raises BadInput if it cannot be read.

    The first frame would not do: a morph begins with the unchanged source image.
    """
    if detection.detect_format(path) in _MAYBE_ANIMATED:
        with suppress(BadInput):  # the first frame may be readable
            return thumbnail_db.encode_thumbnail(open_picture(path, at=POSTER_POSITION, shrink_to=_READ_SIDE))
    return thumbnail_db.encode_thumbnail(open_picture(path, shrink_to=_READ_SIDE))


def render_video(path: Path) -> bytes | None:
    """Render the frame at a third of a video, or the first one if the duration is unknown or wrong."""
    seconds = (mp4.read(path) if detection.detect_format(path) == "mp4" else matroska.read(path)).seconds
    return _grab_frame(path, seconds * POSTER_POSITION) or (_grab_frame(path, 0.0) if seconds else None)


def _grab_frame(path: Path, seconds: float) -> bytes | None:
    import PIL.Image

    command = animations.build_input(path)
    command[1:1] = ["-threads", "2", *(["-ss", f"{seconds:.3f}"] if seconds else [])]
    command += ["-frames:v", "1", "-vf", animations.SQUARE_PIXELS, "-f", "image2pipe", "-c:v", "png", "pipe:1"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=FFMPEG_TIMEOUT)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode or not done.stdout:
        return None
    with PIL.Image.open(io.BytesIO(done.stdout), formats=["PNG"]) as frame:
        return thumbnail_db.encode_thumbnail(frame.convert("RGB"))
