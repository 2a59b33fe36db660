"""TIFF files of 16 bits a channel with what OpenCV and Pillow cannot write, byte by byte (TIFF 6.0, section 2)."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

SHORT, LONG = 3, 4


def write(path: Path, pixels: np.ndarray, *, orientation: int = 1, fourth: int = 2) -> None:
    """[h, w, 3 or 4] of uint16. A `fourth` channel is 0 for who knows what, 1 premultiplied alpha, 2 alpha."""
    height, width, channels = pixels.shape
    content = pixels.astype("<u2").tobytes()
    depths = struct.pack(f"<{channels}H", *[16] * channels)
    entries = [
        (256, LONG, width),
        (257, LONG, height),
        (259, SHORT, 1),
        (262, SHORT, 2),
        (273, LONG, 8),
        (274, SHORT, orientation),
        (277, SHORT, channels),
        (278, LONG, height),
        (279, LONG, len(content)),
    ] + ([(338, SHORT, fourth)] if channels == 4 else [])
    fields = {tag: struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries}
    fields[258] = struct.pack("<HHII", 258, SHORT, channels, 8 + len(content))
    directory = struct.pack("<H", len(fields)) + b"".join(fields[tag] for tag in sorted(fields)) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(content) + len(depths)) + content + depths + directory)
