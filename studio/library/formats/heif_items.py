"""Blanks EXIF and XMP in AVIF images. Follows ISO/IEC 14496-12 and 23008-12, where both are items of the `meta` box."""

from __future__ import annotations

from collections.abc import Iterator

_MAX_BOXES = 10_000
_IGNORED = b"skip"
"""Type of an item that no reader looks at."""


def blank_metadata(data: bytes) -> bytes:
    """Overwrite EXIF and XMP with zeros and take away their types, so that nothing else moves. Raises ValueError."""
    blanked = bytearray(data)
    meta = next(((start, end) for kind, start, end in _iterate_boxes(data, 0, len(data)) if kind == b"meta"), None)
    if meta is None:
        raise ValueError("the AVIF has no items")
    boxes = {kind: (start, end) for kind, start, end in _iterate_boxes(data, meta[0] + 4, meta[1])}
    items: dict[int, int] = {}
    first, last = boxes[b"iinf"]
    for kind, start, _ in _iterate_boxes(data, first + (6 if data[first] == 0 else 8), last):
        if kind == b"infe" and data[start] in (2, 3):
            width = 2 if data[start] == 2 else 4
            place = start + 4 + width + 2
            if data[place : place + 4] in (b"Exif", b"mime"):
                items[int.from_bytes(data[start + 4 : start + 4 + width], "big")] = place
    base_of_idat = boxes.get(b"idat", (0, 0))[0]
    for item, method, offset, length in _iterate_extents(data, *boxes[b"iloc"]):
        if item in items:
            begin = offset + (base_of_idat if method == 1 else 0)
            if begin + length > len(data):
                raise ValueError("an item is outside of the file")
            blanked[begin : begin + length] = bytes(length)
    for place in items.values():
        blanked[place : place + 4] = _IGNORED
    return bytes(blanked)


def _iterate_boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the content of each box."""
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        length, head = int.from_bytes(data[start : start + 4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        length = length or end - start
        if length < head or start + length > end:
            return
        yield data[start + 4 : start + 8], start + head, start + length
        start += length


def _iterate_extents(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield item, construction method, offset and length of each extent in an `iloc` box."""
    version, place = data[start], start + 4
    sizes = data[place] >> 4, data[place] & 15, data[place + 1] >> 4, (data[place + 1] & 15) if version else 0
    place += 2

    def take(width: int) -> int:
        nonlocal place
        place += width
        if place > end:
            raise ValueError("the locations of items end too early")
        return int.from_bytes(data[place - width : place], "big")

    wide = 4 if version == 2 else 2
    for _ in range(take(wide)):
        item = take(wide)
        method = take(2) & 15 if version else 0
        take(2)
        base = take(sizes[2])
        for _ in range(take(2)):
            take(sizes[3])
            offset = base + take(sizes[0])
            yield item, method, offset, take(sizes[1])
