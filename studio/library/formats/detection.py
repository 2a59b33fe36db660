"""Detects the format of a file by its first bytes, and by its extension only for texts and BMP."""

from __future__ import annotations

from pathlib import Path

_SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (8, b"WEBP", "webp"),
    (4, b"ftypavif", "avif"),
    (4, b"ftypavis", "avif"),
    (4, b"ftyphei", "heif"),
    (4, b"ftypmif1", "heif"),
    (4, b"ftyp", "mp4"),
    (4, b"moov", "mp4"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (8, b"AVI ", "avi"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"BM", "bmp"),
    (0, b"\0\0\1\0", "ico"),
    (0, b"\0\0\0\x0cjP  ", "jpeg2000"),
)
TEXT_SUFFIXES = (".md", ".markdown", ".txt")
IMAGE_FORMATS = frozenset({"png", "jpeg", "gif", "webp", "avif", "heif", "tiff", "bmp", "ico", "jpeg2000"})
VIDEO_FORMATS = frozenset({"mp4", "matroska", "avi"})


def detect_format(path: Path) -> str:
    """Return ``png``, ``mp4``, ``text`` etc.; ``folder`` for a folder; empty for another file. Raises OSError."""
    if path.is_dir():
        return "folder"
    with path.open("rb") as file:
        head = file.read(16)
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset) and (name != "bmp" or path.suffix.lower() in (".bmp", ".dib")):
            return name
    return "text" if path.suffix.lower() in TEXT_SUFFIXES else ""
