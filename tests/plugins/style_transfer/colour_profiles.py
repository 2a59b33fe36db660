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


def grey_profile(gamma: float) -> bytes:
    """One of black to white, with the white of D50."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"grey" + bytes(79),
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D),
        b"kTRC": struct.pack(">4s4xIH2x", b"curv", 1, round(gamma * 256)),
        b"cprt": b"text" + bytes(4) + b"none" + bytes(4),
    }
    start, content, table = 132 + 12 * len(tags), b"", struct.pack(">I", len(tags))
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, start + len(content), len(tag))
        content += tag + bytes(-len(tag) % 4)
    head = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()[:128])
    head[16:20] = b"GRAY"
    struct.pack_into(">I", head, 0, start + len(content))
    return bytes(head) + table + content
