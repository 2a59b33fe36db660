"""Detects the format of a file by its first bytes, and by its extension where these do not tell it."""

from __future__ import annotations

from pathlib import Path

from studio.core.untrusted_files import open_file

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
    (0, b"\xff\x4f\xff\x51", "jpeg2000"),
    (0, b"qoif", "qoi"),
    *((0, b"P%d" % kind, "pnm") for kind in range(1, 7)),
)
_SUFFIXES = {"bmp": (".bmp", ".dib"), "pnm": (".ppm", ".pgm", ".pbm", ".pnm")}
"""Extensions of formats whose signature is too short to tell them alone."""
TEXT_SUFFIXES = (".md", ".markdown", ".txt")
IMAGE_FORMATS = frozenset(
    {"png", "jpeg", "gif", "webp", "avif", "heif", "tiff", "bmp", "ico", "jpeg2000", "qoi", "pnm"}
)
VIDEO_FORMATS = frozenset({"mp4", "matroska", "avi"})


def detect_format(path: Path) -> str:
    """Return ``png``, ``mp4``, ``text`` etc.; ``folder`` for a folder; empty for another file. Raises OSError."""
    if path.is_dir():
        return "folder"
    with open_file(path) as file:
        head = file.read(16)
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset) and path.suffix.lower() in _SUFFIXES.get(name, (path.suffix.lower(),)):
            return name
    return "text" if path.suffix.lower() in TEXT_SUFFIXES else ""
