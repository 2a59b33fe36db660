"""PNG chunks: reads the texts of any file within strict limits, and writes 16 bits a channel.

Follows the PNG specification, third edition (W3C). Pillow reads no text behind a compressed
chunk that is too long, and writes no 16-bit colour; both are needed here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from studio.core.untrusted_files import open_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.PngImagePlugin import PngInfo

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT = 8 * 2**20
"""Maximum bytes of text that are read from one file, after decompression."""
MAX_CHUNKS = 100_000
XMP_KEY = "XML:com.adobe.xmp"
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")


def read_texts(path: Path) -> dict[str, str]:
    """Read all text chunks of a PNG by their keys. Damaged and too long ones are skipped."""
    texts: dict[str, str] = {}
    max_bytes = MAX_TEXT
    with open_file(path) as file:
        for kind, body in _read_chunks(file, _TEXT_CHUNKS):
            entry = _parse_text_chunk(kind, body, max_bytes)
            if entry is not None and entry[0] not in texts:
                texts[entry[0]] = entry[1]
                max_bytes -= len(entry[1])
    return texts


def read_animation(path: Path) -> tuple[int, float]:
    """Return the number of frames and the duration in seconds of an animated PNG; (1, 0) for a still image."""
    count, seconds = 1, 0.0
    with open_file(path) as file:
        for kind, body in _read_chunks(file, (b"acTL", b"fcTL", b"IDAT")):
            if kind == b"acTL" and len(body) >= 4:
                count = int.from_bytes(body[:4], "big")
            elif kind == b"fcTL" and len(body) >= 24:
                delay, unit = struct.unpack(">HH", body[20:24])
                seconds += delay / (unit or 100)
            elif kind == b"IDAT" and count == 1:
                break
    return count, seconds if count > 1 else 0.0


def _read_chunks(file: BinaryIO, wanted: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of the wanted types, without check sums. The body of an IDAT is skipped."""
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


def _parse_text_chunk(kind: bytes, body: bytes, max_bytes: int) -> tuple[str, str] | None:
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
            rest = inflater.decompress(rest, max_bytes + 1)
        except zlib.error:
            return None
    if len(rest) > max_bytes:
        return None
    return key.decode("latin-1"), rest.decode(charset, "replace")


def encode_16_bit(values: NDArray[np.uint16], chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Encode an array [height, width, 1 | 3 | 4] as a PNG with 16 bits a channel and `chunks` before the pixels."""
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
    return SIGNATURE + b"".join(pack_chunk(kind, body) for kind, body in parts)


def build_text_chunk(key: str, text: str) -> tuple[bytes, bytes]:
    """Build a tEXt chunk, or an iTXt chunk if Latin-1 cannot hold the text, as Pillow does."""
    try:
        return b"tEXt", key.encode("latin-1") + b"\0" + text.encode("latin-1")
    except UnicodeEncodeError:
        return build_itxt_chunk(key, text)


def build_itxt_chunk(key: str, text: str) -> tuple[bytes, bytes]:
    return b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8", "replace")


def build_profile_chunk(profile: bytes) -> tuple[bytes, bytes]:
    return b"iCCP", b"sRGB\0\0" + zlib.compress(profile)


def pack_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def to_png_info(chunks: list[tuple[bytes, bytes]]) -> PngInfo:
    """Convert chunks to Pillow's `PngInfo`, for `Image.save(pnginfo=…)`."""
    from PIL.PngImagePlugin import PngInfo

    pnginfo = PngInfo()
    for kind, body in chunks:
        pnginfo.add(kind, body)
    return pnginfo
