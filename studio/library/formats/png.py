"""PNG chunks: reading the text of any file within strict limits, and writing 16 bits a channel.

After the PNG specification, third edition (W3C). Pillow reads no text behind a compressed
chunk that is too long, and writes no 16-bit colour; both are needed here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT = 32 * 2**20
"""Bytes of text that are read from one file, after decompression."""
MAX_CHUNKS = 100_000
XMP_KEY = "XML:com.adobe.xmp"
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")


def texts(path: Path) -> dict[str, str]:
    """The text chunks of a PNG, wherever they stand. What is damaged or too long is left out."""
    found: dict[str, str] = {}
    room = MAX_TEXT
    with path.open("rb") as file:
        for kind, body in _chunks(file, _TEXT_CHUNKS):
            entry = _entry(kind, body, room)
            if entry is not None and entry[0] not in found:
                found[entry[0]] = entry[1]
                room -= len(entry[1])
    return found


def frames(path: Path) -> tuple[int, float]:
    """How many frames an animated PNG has, and its length in seconds; (1, 0) for a still one."""
    count, seconds = 1, 0.0
    with path.open("rb") as file:
        for kind, body in _chunks(file, (b"acTL", b"fcTL", b"IDAT")):
            if kind == b"acTL" and len(body) >= 4:
                count = int.from_bytes(body[:4], "big")
            elif kind == b"fcTL" and len(body) >= 24:
                delay, unit = struct.unpack(">HH", body[20:24])
                seconds += delay / (unit or 100)
            elif kind == b"IDAT" and count == 1:
                break
    return count, seconds if count > 1 else 0.0


def _chunks(file: BinaryIO, wanted: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes]]:
    """The wanted chunks, without their check sums; the body of an IDAT is skipped."""
    if file.read(8) != SIGNATURE:
        return
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"IEND":
            return
        if kind in wanted and kind != b"IDAT" and length <= MAX_TEXT:
            body = file.read(length)
            if len(body) < length:
                return
            file.seek(4, 1)
            yield kind, body
        else:
            file.seek(length + 4, 1)
            if kind in wanted:
                yield kind, b""


def _entry(kind: bytes, body: bytes, room: int) -> tuple[str, str] | None:
    key, _, rest = body.partition(b"\0")
    packed, charset = False, "latin-1"
    if kind == b"zTXt":
        packed, rest = True, rest[1:]
    elif kind == b"iTXt":
        packed, charset = rest[:1] == b"\1", "utf-8"
        _, _, rest = rest[2:].partition(b"\0")
        _, _, rest = rest.partition(b"\0")
    if packed:
        inflater = zlib.decompressobj()
        try:
            rest = inflater.decompress(rest, room + 1)
        except zlib.error:
            return None
    if len(rest) > room:
        return None
    return key.decode("latin-1"), rest.decode(charset, "replace")


def encode16(values: NDArray[np.uint16], chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of 16 bits a channel from an array [height, width, 1 | 3 | 4]; `chunks` stand before the pixels."""
    import numpy as np

    height, width, channels = values.shape
    rows = np.ascontiguousarray(values.astype(">u2")).view(np.uint8).reshape(height, -1)
    lines = np.empty((height, rows.shape[1] + 1), np.uint8)
    lines[:, 0] = 2  # the filter "Up": each byte less the one above it
    lines[0, 1:] = rows[0]
    lines[1:, 1:] = rows[1:] - rows[:-1]
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    pixels = zlib.compress(lines.tobytes(), 1)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return SIGNATURE + b"".join(_chunk(kind, body) for kind, body in parts)


def text_chunk(key: str, text: str) -> tuple[bytes, bytes]:
    """As Pillow writes it: tEXt where Latin-1 holds the text, iTXt otherwise."""
    try:
        return b"tEXt", key.encode("latin-1") + b"\0" + text.encode("latin-1")
    except UnicodeEncodeError:
        return international_chunk(key, text)


def international_chunk(key: str, text: str) -> tuple[bytes, bytes]:
    return b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8", "replace")


def profile_chunk(profile: bytes) -> tuple[bytes, bytes]:
    return b"iCCP", b"sRGB\0\0" + zlib.compress(profile)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def info(chunks: list[tuple[bytes, bytes]]) -> Any:
    """The same chunks as Pillow's `PngInfo`, for `Image.save(pnginfo=…)`."""
    from PIL.PngImagePlugin import PngInfo

    found = PngInfo()
    for kind, body in chunks:
        found.add(kind, body)
    return found
