"""Matroska and WebM: reads size, duration and tags of a video. Follows RFC 9559 and RFC 8794 (EBML)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from studio.core.untrusted_files import open_file, read_or_else
from studio.library.formats.mp4 import MAX_SIDE, VideoInfo

MAX_BODY = 16 * 2**20
_MAX_ELEMENTS = 20_000
_SEGMENT, _INFO, _TRACKS, _TAGS = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1254C367
_SCALE, _DURATION = 0x2AD7B1, 0x4489
_TRACK, _VIDEO, _WIDTH, _HEIGHT = 0xAE, 0xE0, 0xB0, 0xBA
_TAG, _SIMPLE, _NAME, _STRING = 0x7373, 0x67C8, 0x45A3, 0x4487


def read(path: Path) -> VideoInfo:
    """Read the header and the tags. Return an empty `VideoInfo` if the file is damaged. Raises OSError."""
    with open_file(path) as file:
        return read_or_else(VideoInfo(), _read_info, file)


def _read_info(file: BinaryIO) -> VideoInfo:
    parts: dict[int, bytes] = {}
    for number, length in _read_elements(file):
        if number == _SEGMENT:
            continue  # its children follow
        if number in (_INFO, _TRACKS, _TAGS) and length <= MAX_BODY:
            parts[number] = file.read(length)
        else:
            file.seek(length, 1)
    width, height = _read_size(parts.get(_TRACKS, b""))
    return VideoInfo(width, height, _read_duration(parts.get(_INFO, b"")), tuple(_read_tags(parts.get(_TAGS, b""))))


def _read_duration(info: bytes) -> float:
    parts = dict(_parse_children(info))
    duration = parts.get(_DURATION, b"")
    if len(duration) not in (4, 8):
        return 0.0
    (ticks,) = struct.unpack(">f" if len(duration) == 4 else ">d", duration)
    scale = int.from_bytes(parts.get(_SCALE, b"\x0f\x42\x40"), "big")
    seconds = float(ticks) * scale / 1e9
    return seconds if 0 <= seconds < 1e9 else 0.0


def _read_size(tracks: bytes) -> tuple[int, int]:
    for number, track in _parse_children(tracks):
        video = dict(_parse_children(track)).get(_VIDEO) if number == _TRACK else None
        if video:
            sides = dict(_parse_children(video))
            width, height = (int.from_bytes(sides.get(side, b""), "big") for side in (_WIDTH, _HEIGHT))
            return (width, height) if max(width, height) <= MAX_SIDE else (0, 0)
    return 0, 0


def _read_tags(tags: bytes) -> Iterator[tuple[str, str]]:
    for number, tag in _parse_children(tags):
        for inner, simple in _parse_children(tag) if number == _TAG else ():
            if inner == _SIMPLE:
                parts = dict(_parse_children(simple))
                name, value = parts.get(_NAME, b""), parts.get(_STRING, b"")
                yield name.decode("utf-8", "replace"), value.decode("utf-8", "replace")


def _read_elements(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield the id and length of each element. The caller must move the file behind the element's body."""
    for _ in range(_MAX_ELEMENTS):
        head = file.read(12)
        number, used = _parse_vint(head, 0, keep_mark=True)
        length, end = _parse_vint(head, used, keep_mark=False)
        if not used or not end:
            return
        file.seek(end - len(head), 1)
        yield number, length


def _parse_children(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    for _ in range(_MAX_ELEMENTS):
        number, used = _parse_vint(data, offset, keep_mark=True)
        length, start = _parse_vint(data, used, keep_mark=False)
        if not used or not start or start + length > len(data):
            return
        yield number, data[start : start + length]
        offset = start + length


def _parse_vint(data: bytes, offset: int, *, keep_mark: bool) -> tuple[int, int]:
    """Parse an EBML variable-length integer. Return its value and the offset behind it, or (0, 0) if there is none."""
    if offset >= len(data) or not data[offset]:
        return 0, 0
    size = 9 - data[offset].bit_length()
    if offset + size > len(data):
        return 0, 0
    value = int.from_bytes(data[offset : offset + size], "big")
    return (value if keep_mark else value & ((1 << 7 * size) - 1)), offset + size
