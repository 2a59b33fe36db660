"""Thumbnails made again from the files."""

from __future__ import annotations

import io
import subprocess
from contextlib import suppress
from pathlib import Path

from studio.core.errors import BadInput, StudioError
from studio.core.images import open_picture
from studio.library.creation import Creation, CreationKind, find_tile_image
from studio.library.formats import detection, matroska, mp4
from studio.library.storage import animation_encoder, thumbnail_db

SECONDS = 30
A_THIRD = 1 / 3
_MAY_MOVE = frozenset({"gif", "png", "webp"})


def of(creation: Creation) -> bytes | None:
    """A JPEG thumbnail, or None for a text, a model without a preview, and what cannot be read."""
    path = Path(creation.path)
    try:
        if creation.kind is CreationKind.MODEL:
            picture = find_tile_image(path)
            return thumbnail_db.jpeg(open_picture(picture)) if picture else None
        if creation.kind not in (CreationKind.IMAGE, CreationKind.ANIMATION):
            return None
        return of_film(path) if detection.sniff(path) in detection.FILMS else of_picture(path)
    except (StudioError, OSError):
        return None


def of_picture(path: Path) -> bytes:
    """Of a picture, or from a third of the way through what moves: a morph begins with the very picture
    that it was made from. Raises BadInput for what cannot be read."""
    if detection.sniff(path) in _MAY_MOVE:
        with suppress(BadInput):  # its first frame may be whole
            return thumbnail_db.jpeg(open_picture(path, at=A_THIRD))
    return thumbnail_db.jpeg(open_picture(path))


def of_film(path: Path) -> bytes | None:
    """From a third of the way; from the beginning where it does not say how long it is, or ends sooner."""
    seconds = (mp4.read(path) if detection.sniff(path) == "mp4" else matroska.read(path)).seconds
    return _frame_at(path, seconds * A_THIRD) or (_frame_at(path, 0.0) if seconds else None)


def _frame_at(path: Path, seconds: float) -> bytes | None:
    import PIL.Image

    quiet = [
        animation_encoder.ffmpeg(),
        "-hide_banner",
        "-nostdin",
        "-loglevel",
        "error",
        "-protocol_whitelist",
        "file,pipe",
    ]
    seek = ["-ss", f"{seconds:.3f}"] if seconds else []
    command = [*quiet, *seek, "-i", f"file:{path}", "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "pipe:1"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode or not done.stdout:
        return None
    with PIL.Image.open(io.BytesIO(done.stdout)) as frame:
        return thumbnail_db.jpeg(frame.convert("RGB"))
