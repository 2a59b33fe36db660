"""Packs raw frames with their times into Matroska, as ffmpeg reads them from its standard input.

Follows RFC 8794 (EBML) and RFC 9559 (Matroska): a live stream, one cluster a frame, times in nanoseconds.
"""

from __future__ import annotations

import struct
from fractions import Fraction

NANOSECONDS = 10**9
_UNKNOWN_LENGTH = b"\x01\xff\xff\xff\xff\xff\xff\xff"
_EBML, _DOC_TYPE, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x42\x82", b"\x18\x53\x80\x67"
_INFO, _TIME_SCALE = b"\x15\x49\xa9\x66", b"\x2a\xd7\xb1"
_TRACKS, _TRACK, _NUMBER, _UID, _TYPE = b"\x16\x54\xae\x6b", b"\xae", b"\xd7", b"\x73\xc5", b"\x83"
_CODEC, _VIDEO, _WIDTH, _HEIGHT, _COLOUR_SPACE = b"\x86", b"\xe0", b"\xb0", b"\xba", b"\x2e\xb5\x24"
_DEFAULT_DURATION = b"\x23\xe3\x83"
_CLUSTER, _TIME = b"\x1f\x43\xb6\x75", b"\xe7"
_GROUP, _BLOCK, _DURATION = b"\xa0", b"\xa1", b"\x9b"


def pack_header(size: tuple[int, int], seconds: Fraction) -> bytes:
    """Return the start of the stream for frames of RGB, 8 bits a channel; `seconds` is the usual time of a frame."""
    video = _pack(_WIDTH, _pack_number(size[0])) + _pack(_HEIGHT, _pack_number(size[1]))
    video += _pack(_COLOUR_SPACE, b"RGB\x18")
    track = _pack(_NUMBER, b"\1") + _pack(_UID, b"\1") + _pack(_TYPE, b"\1") + _pack(_CODEC, b"V_UNCOMPRESSED")
    track += _pack(_DEFAULT_DURATION, _pack_number(max(1, round(seconds * NANOSECONDS)))) + _pack(_VIDEO, video)
    info = _pack(_INFO, _pack(_TIME_SCALE, b"\1"))
    return (
        _pack(_EBML, _pack(_DOC_TYPE, b"matroska"))
        + _SEGMENT
        + _UNKNOWN_LENGTH
        + info
        + _pack(_TRACKS, _pack(_TRACK, track))
    )


def pack_frame(pixels: bytes, begin: Fraction, end: Fraction) -> bytes:
    """Return a cluster with one frame, which is shown between two times in seconds."""
    start, stop = round(begin * NANOSECONDS), round(end * NANOSECONDS)
    block = _pack(_BLOCK, b"\x81\0\0\0" + pixels) + _pack(_DURATION, _pack_number(max(1, stop - start)))
    return _pack(_CLUSTER, _pack(_TIME, _pack_number(start)) + _pack(_GROUP, block))


def _pack(name: bytes, body: bytes) -> bytes:
    return name + struct.pack(">Q", len(body) | 1 << 56) + body


def _pack_number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
