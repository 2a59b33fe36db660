"""MP4 boxes: reads size, duration and comment of a video without decoding it.

Follows ISO/IEC 14496-12, and iTunes' `ilst` for the comment, where ffmpeg writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from studio.core.untrusted_files import open_file, read_or_else

MAX_MOOV = 64 * 2**20
_MAX_BOXES = 10_000
MAX_SIDE = 2**20
"""A video that claims more pixels a side does not say how large it is."""


_NOTHING = memoryview(b"")


@dataclass(frozen=True)
class VideoInfo:
    """Width and height in pixels, duration in seconds, and tags of a video; zeros if the file does not say."""

    width: int = 0
    height: int = 0
    seconds: float = 0.0
    tags: tuple[tuple[str, str], ...] = ()
    """Names and values. ``©cmt`` is the comment; keys that ffmpeg defines keep their names."""

    @property
    def comment(self) -> str:
        return dict(self.tags).get("©cmt", "")


def read(path: Path) -> VideoInfo:
    """Read the `moov` box. Return an empty `VideoInfo` if it is missing or damaged. Raises OSError."""
    with open_file(path) as file:
        return read_or_else(VideoInfo(), lambda: _parse_moov(_read_moov(file)))


def _read_moov(file: BinaryIO) -> memoryview:
    for _ in range(_MAX_BOXES):
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind, used = int.from_bytes(head[:4], "big"), head[4:], 8
        if length == 1:
            length, used = int.from_bytes(file.read(8), "big"), 16
        if kind == b"moov" and used <= length <= MAX_MOOV:
            return memoryview(file.read(length - used))
        if length < used:
            break
        file.seek(length - used, 1)
    return memoryview(b"")


def _parse_moov(moov: memoryview) -> VideoInfo:
    width = height = 0
    seconds = 0.0
    tags: list[tuple[str, str]] = []
    for kind, body in _parse_boxes(moov):
        if kind == b"mvhd":
            long = body[0] == 1
            scale = int.from_bytes(body[20:24] if long else body[12:16], "big")
            seconds = int.from_bytes(body[24:32] if long else body[16:20], "big") / scale if scale else 0.0
        elif kind == b"trak":
            for inner, track in _parse_boxes(body):
                if inner == b"tkhd" and not width:
                    width, height = (int.from_bytes(track[-8:-4], "big") >> 16, int.from_bytes(track[-4:], "big") >> 16)
        elif kind == b"udta":
            tags += _parse_tags(body)
    return VideoInfo(width, height, seconds, tuple(tags))


def _parse_tags(udta: memoryview) -> Iterator[tuple[str, str]]:
    for kind, meta in _parse_boxes(udta):
        if kind != b"meta":
            continue
        parts = dict(_parse_boxes(meta[4:]))
        names = [bytes(name[8:]).decode("utf-8", "replace") for name in _parse_keys(parts.get(b"keys", _NOTHING))]
        for tag, value in _parse_boxes(parts.get(b"ilst", _NOTHING)):
            data = dict(_parse_boxes(value)).get(b"data", _NOTHING)
            number = int.from_bytes(tag, "big")
            name = names[number - 1] if 0 < number <= len(names) else tag.decode("latin-1")
            yield name, bytes(data[8:]).decode("utf-8", "replace")


def _parse_keys(body: memoryview) -> Iterator[memoryview]:
    """Yield entries of a length, a namespace and a name."""
    offset = 8
    while offset + 8 <= len(body):
        length = int.from_bytes(body[offset : offset + 4], "big")
        if length < 8:
            return
        yield body[offset : offset + length]
        offset += length


def _parse_boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    offset = 0
    for _ in range(_MAX_BOXES):
        if offset + 8 > len(data):
            return
        length = int.from_bytes(data[offset : offset + 4], "big")
        if length < 8 or offset + length > len(data):
            return
        yield bytes(data[offset + 4 : offset + 8]), data[offset + 8 : offset + length]
        offset += length
