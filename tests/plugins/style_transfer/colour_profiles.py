"""Colour profiles, made as they are needed."""

from __future__ import annotations

import struct

from PIL import ImageCms

ADOBE = ((0.60974, 0.20528, 0.14919), (0.31111, 0.62567, 0.06322), (0.01947, 0.06087, 0.74457))
"""The primaries of Adobe RGB under D50."""


def display_profile(matrix: tuple[tuple[float, ...], ...], gamma: float) -> bytes:
    """A display profile, made of sRGB's own by replacing its primaries and curves."""
    base = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", base, 128)
    curve = struct.pack(">4s4xIH2x", b"curv", 1, round(gamma * 256))
    where = len(base)
    for number in range(count):
        name, start, _ = struct.unpack_from(">4sII", base, 132 + 12 * number)
        if name in (b"rXYZ", b"gXYZ", b"bXYZ"):
            column = [row[b"rgb".index(name[:1])] for row in matrix]
            struct.pack_into(">iii", base, start + 8, *(round(value * 65536) for value in column))
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            struct.pack_into(">II", base, 132 + 12 * number + 4, where, 14)
    base += curve
    struct.pack_into(">I", base, 0, len(base))
    return bytes(base)
