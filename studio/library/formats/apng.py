"""APNG animations: writes frames as they arrive. Follows the PNG specification, third edition (W3C)."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from studio.library.formats.png import SIGNATURE

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_DELAY = 65_535
_LENGTH_OF_HEAD = 8 + 25
"""Bytes of the signature and the IHDR chunk."""


class Writer:
    """Writes an animated PNG to `path`. The file is valid only after `finish`."""

    def __init__(
        self, path: Path, size: tuple[int, int], *, loop: bool, chunks: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """`chunks` are types and bodies of chunks with metadata."""
        self._file = path.open("wb")
        self._size = size
        self._loop = loop
        self._frames = 0
        self._chunks = 0
        self._file.write(SIGNATURE)
        self._write_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 6, 0, 0, 0))
        self._write_chunk(b"acTL", bytes(8))
        for kind, body in chunks:
            self._write_chunk(kind, body)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, frame: Image, seconds: Fraction) -> None:
        """Add a frame of the animation's size."""
        encoded = io.BytesIO()
        frame.convert("RGBA").save(encoded, "PNG", compress_level=6)
        delay = _to_delay(seconds)
        control = (*self._size, 0, 0, delay.numerator, delay.denominator, 0, 0)
        self._write_chunk(b"fcTL", self._count() + struct.pack(">IIIIHHBB", *control))
        for body in _list_data(encoded.getvalue()):
            if self._frames:
                self._write_chunk(b"fdAT", self._count() + body)
            else:
                self._write_chunk(b"IDAT", body)
        self._frames += 1

    def finish(self) -> None:
        """Write the end and the number of frames."""
        self._write_chunk(b"IEND", b"")
        self._file.seek(_LENGTH_OF_HEAD)
        self._write_chunk(b"acTL", struct.pack(">II", self._frames, 0 if self._loop else 1))

    def _count(self) -> bytes:
        number, self._chunks = self._chunks, self._chunks + 1
        return struct.pack(">I", number)

    def _write_chunk(self, kind: bytes, body: bytes) -> None:
        self._file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))


def _to_delay(seconds: Fraction) -> Fraction:
    """Return the nearest fraction of two 16-bit numbers: 1,001 / 30,000 s is exact."""
    if seconds >= _MAX_DELAY:
        return Fraction(_MAX_DELAY)
    longest = max(seconds, Fraction(1))
    return seconds.limit_denominator(math.floor(_MAX_DELAY / longest))


def _list_data(png: bytes) -> Iterable[bytes]:
    place = len(SIGNATURE)
    while place + 8 <= len(png):
        length = int.from_bytes(png[place : place + 4], "big")
        if png[place + 4 : place + 8] == b"IDAT":
            yield png[place + 8 : place + 8 + length]
        place += 12 + length
