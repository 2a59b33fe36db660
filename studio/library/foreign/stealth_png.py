"""Text in the lowest bit of the alpha channel, column by column, as NovelAI stores it."""

from __future__ import annotations

import zlib
from pathlib import Path

from studio.core.errors import BadInput
from studio.library.formats import pillow_guard

MAX_PIXELS = 64_000_000
MAX_BYTES = 4 * 2**20
_PLAIN, _PACKED = b"stealth_pnginfo", b"stealth_pngcomp"


def read(path: Path) -> str:
    """Return the text in the alpha channel, or an empty string."""
    import numpy as np

    try:
        with pillow_guard.open_header(path) as image:
            if image.mode != "RGBA" or image.width * image.height > MAX_PIXELS:
                return ""
            alpha = np.asarray(image.getchannel("A"))
    except BadInput:
        return ""
    bits = np.packbits(alpha.T.reshape(-1)[: 8 * (MAX_BYTES + 32)] & 1).tobytes()
    mark = bits[: len(_PLAIN)]
    if mark not in (_PLAIN, _PACKED):
        return ""
    start = len(mark) + 4
    length = int.from_bytes(bits[len(mark) : start], "big") // 8
    if length > MAX_BYTES or start + length > len(bits):
        return ""
    content = bits[start : start + length]
    if mark == _PACKED:
        try:
            content = zlib.decompressobj(wbits=31).decompress(content, MAX_BYTES)
        except zlib.error:
            return ""
    return content.decode("utf-8", "replace")
