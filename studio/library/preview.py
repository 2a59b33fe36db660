"""Thumbnails made again from the files."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

from studio.core.errors import BadInput, StudioError
from studio.core.pictures import open_picture
from studio.library import animation, formats, thumbs
from studio.library.creation import Creation, Kind

SECONDS = 30
_IN_MODELS = ("preview.png", "preview.jpg", "preview.webp")


def of(creation: Creation) -> bytes | None:
    """A JPEG thumbnail, or None for a text, a model without a preview, and what cannot be read."""
    path = Path(creation.path)
    try:
        if creation.kind is Kind.MODEL:
            pictures = [path / name for name in _IN_MODELS if (path / name).is_file()]
            return thumbs.jpeg(open_picture(pictures[0])) if pictures else None
        if creation.kind not in (Kind.IMAGE, Kind.ANIMATION):
            return None
        if formats.sniff(path) in formats.FILMS:
            return _of_film(path)
        return thumbs.jpeg(open_picture(path))
    except (BadInput, StudioError, OSError):
        return None


def _of_film(path: Path) -> bytes | None:
    import PIL.Image

    quiet = [animation.ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error", "-protocol_whitelist", "file,pipe"]
    command = [*quiet, "-i", f"file:{path}", "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "pipe:1"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode or not done.stdout:
        return None
    with PIL.Image.open(io.BytesIO(done.stdout)) as frame:
        return thumbs.jpeg(frame.convert("RGB"))
