"""MP4 boxes: size, length and comment of a film, read without decoding it.

After ISO/IEC 14496-12, and iTunes' `ilst` for the comment, which is where ffmpeg writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_MOOV = 64 * 2**20
_MAX_BOXES = 10_000


@dataclass(frozen=True)
class Film:
    """`seconds` long, `width` × `height` pixels; zeros where the file does not say."""

    width: int = 0
    height: int = 0
    seconds: float = 0.0
    tags: tuple[tuple[str, str], ...] = ()
    """What the file says about itself: ``©cmt`` is the comment; ffmpeg's own keys as they are."""

    @property
    def comment(self) -> str:
        return dict(self.tags).get("©cmt", "")


def read(path: Path) -> Film:
    """What the `moov` box says; an empty Film where there is none, or it is damaged."""
    with path.open("rb") as file:
        moov = _moov(file)
    try:
        return _film(moov) if moov else Film()
    except (IndexError, ValueError, ZeroDivisionError):
        return Film()


def _moov(file: BinaryIO) -> bytes:
    for _ in range(_MAX_BOXES):
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind, used = int.from_bytes(head[:4], "big"), head[4:], 8
        if length == 1:
            length, used = int.from_bytes(file.read(8), "big"), 16
        if kind == b"moov" and used <= length <= MAX_MOOV:
            return file.read(length - used)
        if length < used:
            break
        file.seek(length - used, 1)
    return b""


def _film(moov: bytes) -> Film:
    width = height = 0
    seconds = 0.0
    tags: list[tuple[str, str]] = []
    for kind, body in _boxes(moov):
        if kind == b"mvhd":
            long = body[0] == 1
            scale = int.from_bytes(body[20:24] if long else body[12:16], "big")
            seconds = int.from_bytes(body[24:32] if long else body[16:20], "big") / scale
        elif kind == b"trak":
            for inner, track in _boxes(body):
                if inner == b"tkhd" and not width:
                    width, height = (int.from_bytes(track[-8:-4], "big") >> 16, int.from_bytes(track[-4:], "big") >> 16)
        elif kind == b"udta":
            tags += _tags(body)
    return Film(width, height, seconds, tuple(tags))


def _tags(udta: bytes) -> Iterator[tuple[str, str]]:
    for kind, meta in _boxes(udta):
        if kind != b"meta":
            continue
        parts = dict(_boxes(meta[4:]))
        names = [name[8:].decode("utf-8", "replace") for name in _keys(parts.get(b"keys", b""))]
        for tag, value in _boxes(parts.get(b"ilst", b"")):
            data = dict(_boxes(value)).get(b"data", b"")
            number = int.from_bytes(tag, "big")
            name = names[number - 1] if 0 < number <= len(names) else tag.decode("latin-1")
            yield name, data[8:].decode("utf-8", "replace")


def _keys(body: bytes) -> Iterator[bytes]:
    """Each entry is its length, a namespace and a name."""
    place = 8
    while place + 8 <= len(body):
        length = int.from_bytes(body[place : place + 4], "big")
        if length < 8:
            return
        yield body[place : place + length]
        place += length


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    for _ in range(_MAX_BOXES):
        if place + 8 > len(data):
            return
        length = int.from_bytes(data[place : place + 4], "big")
        if length < 8 or place + length > len(data):
            return
        yield data[place + 4 : place + 8], data[place + 8 : place + length]
        place += length
