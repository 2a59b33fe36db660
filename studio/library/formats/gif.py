"""GIF blocks: reads frame durations, comments and XMP, and inserts comments and XMP.

Follows the GIF89a specification. Comments hold the parameters that other tools read; XMP holds
the recipe, in the application extension that Adobe describes (XMP part 3, 1.1.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 512 * 2**20
_XMP = b"\x21\xff\x0bXMP DataXMP"
_XMP_END = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
"""Trailer by which readers that parse the packet as sub-blocks find its end."""


@dataclass(frozen=True)
class GifInfo:
    """Frame count, duration of one loop in seconds, comment and XMP packet of a GIF."""

    frames: int = 0
    seconds: float = 0.0
    comment: str = ""
    xmp: bytes = b""


def read(path: Path) -> GifInfo:
    """Read all blocks up to the first damaged one."""
    if path.stat().st_size > MAX_BYTES:
        return GifInfo()
    data = path.read_bytes()
    if data[:4] != b"GIF8" or len(data) < 13:
        return GifInfo()
    place = 13 + _color_table_size(data[10])
    frames, hundredths, comments, xmp = 0, 0, list[bytes](), b""
    while place + 1 < len(data):
        if data[place] == 0x2C and place + 10 < len(data):
            frames += 1
            place = _skip_sub_blocks(data, place + 11 + _color_table_size(data[place + 9]))
        elif data.startswith(_XMP, place):
            end = data.find(_XMP_END, place)
            if end < 0:
                break
            xmp = data[place + len(_XMP) : end]
            place = end + len(_XMP_END)
        elif data[place] == 0x21:
            if data[place + 1] == 0xF9 and place + 6 < len(data):
                hundredths += int.from_bytes(data[place + 4 : place + 6], "little")
            if data[place + 1] == 0xFE:
                comments.append(_join_sub_blocks(data, place + 2))
            place = _skip_sub_blocks(data, place + 2)
        else:
            break
    comment = b"\n".join(comments).decode("utf-8", "replace")
    return GifInfo(frames, hundredths / 100, comment, xmp)


def insert_metadata(path: Path, *, comment: str, xmp: bytes) -> None:
    """Insert a comment and an XMP packet at the end of a GIF, in place. Raises ValueError if the trailer is missing."""
    text = comment.encode("utf-8", "replace")
    with path.open("rb+") as file:
        file.seek(-1, 2)
        if file.read(1) != b";":
            raise ValueError(f"{path.name} does not end as a GIF does")
        file.seek(-1, 2)
        if text:
            blocks = (text[i : i + 255] for i in range(0, len(text), 255))
            file.write(b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0")
        if xmp:
            file.write(_XMP + xmp + _XMP_END)
        file.write(b";")


def _color_table_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_sub_blocks(data: bytes, place: int) -> int:
    while place < len(data) and data[place]:
        place += data[place] + 1
    return place + 1


def _join_sub_blocks(data: bytes, place: int) -> bytes:
    parts = []
    while place < len(data) and data[place]:
        parts.append(data[place + 1 : place + 1 + data[place]])
        place += data[place] + 1
    return b"".join(parts)
