"""Thumbnails made again from the files."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.errors import BadInput, StudioError
from studio.core.pictures import open_picture
from studio.library import animation, formats, matroska, mp4, thumbs
from studio.library.creation import Creation, Kind

if TYPE_CHECKING:
    from PIL.Image import Image

SECONDS = 30
A_THIRD = 1 / 3
_IN_MODELS = ("preview.png", "preview.jpg", "preview.webp")


def of(creation: Creation) -> bytes | None:
    """A JPEG thumbnail, or None for a text, a model without a preview, and what cannot be read."""
    path = Path(creation.path)
    try:
        if creation.kind is Kind.MODEL:
            pictures = [path / name for name in _IN_MODELS if (path / name).is_file()]
            return thumbs.jpeg(open_picture(pictures[0])) if pictures else None
        if creation.kind is Kind.ANIMATION:
            return of_animation(path)
        return thumbs.jpeg(open_picture(path)) if creation.kind is Kind.IMAGE else None
    except (BadInput, StudioError, OSError):
        return None


def of_animation(path: Path) -> bytes | None:
    """A frame from a third of the way, since a morph begins with the very picture that it was made from."""
    try:
        frame = _of_film(path) if formats.sniff(path) in formats.FILMS else open_picture(path, at=A_THIRD)
    except (StudioError, OSError):
        return None
    return thumbs.jpeg(frame) if frame else None


def _of_film(path: Path) -> Image | None:
    """From the beginning where the film does not say how long it is, or ends sooner than it says."""
    seconds = (mp4.read(path) if formats.sniff(path) == "mp4" else matroska.read(path)).seconds
    return _frame_at(path, seconds * A_THIRD) or (_frame_at(path, 0.0) if seconds else None)


def _frame_at(path: Path, seconds: float) -> Image | None:
    import PIL.Image

    quiet = [animation.ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error", "-protocol_whitelist", "file,pipe"]
    seek = ["-ss", f"{seconds:.3f}"] if seconds else []
    command = [*quiet, *seek, "-i", f"file:{path}", "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "pipe:1"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode or not done.stdout:
        return None
    with PIL.Image.open(io.BytesIO(done.stdout)) as frame:
        return frame.convert("RGB")
