"""WebP animations: writes frames as they arrive, and reads the duration.

Follows the WebP container specification (RIFF). Pillow needs all frames at once; here only
encoded frames are kept, on disk.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from studio.core.untrusted_files import open_file

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE = 16383
_MAX_DURATION = 2**24 - 1
_ICC, _ALPHA, _EXIF, _XMP, _ANIMATED = 0x20, 0x10, 0x08, 0x04, 0x02


class Writer:
    """Writes an animated WebP to `path`. The file is valid only after `finish`."""

    def __init__(self, path: Path, size: tuple[int, int], *, loop: bool, icc: bytes, quality: int = 90) -> None:
        self._file: BinaryIO = path.open("wb")
        self._size = size
        self._icc = icc
        self._quality = quality
        self._flags = _ANIMATED | (_ICC if icc else 0)
        self._file.write(b"RIFF\0\0\0\0WEBP")
        self._chunk(b"VP8X", bytes(10))
        if icc:
            self._chunk(b"ICCP", icc)
        self._chunk(b"ANIM", struct.pack("<IH", 0, 0 if loop else 1))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, frame: Image, milliseconds: int) -> None:
        """Add an RGB or RGBA frame of the animation's size."""
        still = io.BytesIO()
        frame.save(still, "WEBP", quality=self._quality, method=3)
        width, height = self._size
        body = (
            _pack_u24(0)
            + _pack_u24(0)
            + _pack_u24(width - 1)
            + _pack_u24(height - 1)
            + _pack_u24(min(milliseconds, _MAX_DURATION))
            + b"\x02"
        )
        for kind, content in _parse_chunks(still.getvalue()):
            if kind in (b"ALPH", b"VP8 ", b"VP8L"):
                body += _pack_chunk(kind, content)
        if frame.mode == "RGBA":
            self._flags |= _ALPHA
        self._chunk(b"ANMF", body)

    def finish(self, *, exif: bytes, xmp: bytes) -> None:
        """Write the metadata and the header."""
        if exif:
            self._flags |= _EXIF
            self._chunk(b"EXIF", exif)
        if xmp:
            self._flags |= _XMP
            self._chunk(b"XMP ", xmp)
        end = self._file.tell()
        self._file.seek(4)
        self._file.write(struct.pack("<I", end - 8))
        self._file.seek(20)
        width, height = self._size
        self._file.write(bytes([self._flags, 0, 0, 0]) + _pack_u24(width - 1) + _pack_u24(height - 1))

    def _chunk(self, kind: bytes, body: bytes) -> None:
        self._file.write(_pack_chunk(kind, body))


def read_animation(path: Path) -> tuple[int, float]:
    """Return the number of frames and the duration in seconds of a WebP; (1, 0) for a still image."""
    count, milliseconds = 0, 0
    with open_file(path) as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WEBP":
            return 1, 0.0
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little")
            if head[:4] == b"ANMF":
                start = file.read(min(length, 16))
                count += 1
                milliseconds += int.from_bytes(start[12:15], "little")
                length -= len(start)
            file.seek(length + (length & 1), 1)
    return max(count, 1), milliseconds / 1000


def _parse_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    offset, chunks = 12, []
    while offset + 8 <= len(data):
        length = int.from_bytes(data[offset + 4 : offset + 8], "little")
        chunks.append((data[offset : offset + 4], data[offset + 8 : offset + 8 + length]))
        offset += 8 + length + (length & 1)
    return chunks


def _pack_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def _pack_u24(value: int) -> bytes:
    return value.to_bytes(3, "little")
