"""Strips the metadata from PNG, JPEG and AVIF files, for those whose metadata alone is damaged."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_JPEG = b"\xff\xd8"
_JFIF, _ADOBE, _COMMENT, _SCAN = 0xE0, 0xEE, 0xFE, 0xDA
_ADOBE_LENGTH = 12
"""Bytes of Adobe's segment, which tells how the colours are coded."""
_AVIF = (b"ftypavif", b"ftypavis")
_AVIF_HEAD = 2**20
"""Bytes in which the items of an AVIF are described."""
_EXIF_ITEM = re.compile(rb"(infe\x02\0\0[\0\1].{4})Exif", re.DOTALL)


def strip_metadata(data: bytes) -> bytes | None:
    """Return a PNG, JPEG or AVIF without the parts that no pixel depends on. None for a file of another format.

    Of an animated PNG the first picture is left. A damaged file is cut where its structure ends.
    """
    if data.startswith(_PNG):
        return _PNG + b"".join(_list_png_chunks(data))
    if data.startswith(_JPEG):
        return _JPEG + b"".join(_list_jpeg_segments(data))
    if data[4:12] in _AVIF:
        return _EXIF_ITEM.sub(rb"\1free", data[:_AVIF_HEAD]) + data[_AVIF_HEAD:]
    return None


def _list_png_chunks(data: bytes) -> Iterator[bytes]:
    place = len(_PNG)
    while place + 8 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] in _PNG_CHUNKS:
            yield data[place:end]
        place = end


def _list_jpeg_segments(data: bytes) -> Iterator[bytes]:
    place = len(_JPEG)
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        is_metadata = _JFIF <= marker <= 0xEF or marker == _COMMENT
        if not is_metadata or (marker == _ADOBE and _is_adobe(data[place + 4 : end])):
            yield data[place:end]
        place = end
        if marker == _SCAN:
            break
    yield data[place:]


def _is_adobe(body: bytes) -> bool:
    return body.startswith(b"Adobe") and len(body) >= _ADOBE_LENGTH
