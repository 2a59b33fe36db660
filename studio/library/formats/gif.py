"""GIF blocks: writes frames as they arrive, reads their durations, and inserts and reads comments and XMP.

Follows the GIF89a specification. Pillow needs all frames at once, and leaves what should disappear where a frame is
transparent; here only two frames are kept. Comments hold the parameters that other tools read; XMP holds
the recipe, in the application extension that Adobe describes (XMP part 3, 1.1.2).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from studio.core.untrusted_files import open_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Box = tuple[slice, slice]
MAX_TEXT = 8 * 2**20
"""Maximum bytes of comments, and of an XMP packet."""
MAX_BLOCKS = 200_000
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


MAX_SIDE = 65_535
_MAX_DELAY = 65_535
_UNIT = Fraction(1, 100)
_MIN_DELAY = 2
"""Players slow down frames that are shown for less than two hundredths of a second."""
_TRANSPARENT = 255
"""Index of the transparent colour in each frame's palette."""
_KEEP, _CLEAR = 1, 2
"""Disposal of a frame: it stays under the next one, or its rectangle becomes transparent."""


class Writer:
    """Writes an animated GIF to `path`. The file is valid only after `finish`.

    Only the rectangle that changes is stored of a frame. Where something disappears, the frame before is cleared.
    """

    def __init__(self, path: Path, size: tuple[int, int], *, loop: bool) -> None:
        import numpy as np

        self._file = path.open("wb")
        self._canvas: NDArray[np.uint8] = np.zeros((size[1], size[0], 4), np.uint8)
        """The canvas before the pending frame."""
        self._pending: NDArray[np.uint8] | None = None
        self._begin = 0
        self._end = Fraction(0)
        self._file.write(b"GIF89a" + struct.pack("<HHBBB", *size, 0x70, 0, 0))
        if loop:
            self._file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0")

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, frame: Image, seconds: Fraction) -> None:
        """Add a frame of the animation's size. Alpha below one half is transparent.

        A frame is not written if its time ends before the one before it was shown for two hundredths of a second.
        """
        import numpy as np

        begin, self._end = self._end, self._end + seconds
        pixels = np.array(frame.convert("RGBA"))
        pixels[..., 3] = np.where(pixels[..., 3] < 128, 0, 255)
        pixels[pixels[..., 3] == 0] = 0
        if self._pending is None:
            self._pending = pixels
            return
        tick = max(round(begin / _UNIT), self._begin + _MIN_DELAY)
        if round(self._end / _UNIT) > tick:
            self._write_pending(tick - self._begin, pixels)
            self._pending, self._begin = pixels, tick

    def finish(self) -> None:
        """Write the last frame and the trailer."""
        if self._pending is not None:
            self._write_pending(max(_MIN_DELAY, round(self._end / _UNIT) - self._begin), None)
        self._file.write(b";")

    def _write_pending(self, delay: int, following: NDArray[np.uint8] | None) -> None:
        import numpy as np

        assert self._pending is not None
        pixels = self._pending
        changed = (pixels != self._canvas).any(2)
        vanishing = np.zeros_like(changed) if following is None else (pixels[..., 3] > 0) & (following[..., 3] == 0)
        box = _find_box(changed | vanishing)
        disposal = _CLEAR if vanishing.any() else _KEEP
        while delay > _MAX_DELAY:
            self._write_frame(pixels, box, _MAX_DELAY, _KEEP)
            delay -= _MAX_DELAY
        self._write_frame(pixels, box, delay, disposal)
        self._canvas = pixels.copy()
        if disposal == _CLEAR:
            self._canvas[box] = 0

    def _write_frame(self, pixels: NDArray[np.uint8], box: Box, delay: int, disposal: int) -> None:
        table, image_data = _encode_pixels(pixels[box])
        top, left, height, width = (box[0].start, box[1].start, box[0].stop - box[0].start, box[1].stop - box[1].start)
        self._file.write(b"\x21\xf9\x04" + struct.pack("<BHBB", disposal << 2 | 1, delay, _TRANSPARENT, 0))
        self._file.write(b"\x2c" + struct.pack("<HHHHB", left, top, width, height, 0x87) + table + image_data)


def read(path: Path) -> GifInfo:
    """Read all blocks up to the first damaged one. Only comments and XMP are kept in memory. Raises OSError."""
    frames, hundredths, comments, packet = 0, 0, bytearray(), b""
    with open_file(path) as file:
        head = file.read(13)
        if head[:4] != b"GIF8" or len(head) < 13:
            return GifInfo()
        file.seek(_color_table_size(head[10]), 1)
        for _ in range(MAX_BLOCKS):
            kind = file.read(1)
            if kind == b"\x2c" and len(head := file.read(9)) == 9:
                frames += 1
                file.seek(_color_table_size(head[8]) + 1, 1)
                _skip_sub_blocks(file)
            elif kind == b"\x21":
                label = file.read(1)
                if label == b"\xf9":
                    head = file.read(6)
                    hundredths += int.from_bytes(head[2:4], "little") if len(head) == 6 and head[0] else 0
                    file.seek(-len(head), 1)
                if label == b"\xfe":
                    comments += (b"\n" if comments else b"") + _join_sub_blocks(file, MAX_TEXT - len(comments))
                elif label == b"\xff" and _peek(file, len(_XMP) - 2) == _XMP[2:]:
                    file.seek(len(_XMP) - 2, 1)
                    packet = _read_packet(file)
                else:
                    _skip_sub_blocks(file)
            else:
                break
    return GifInfo(frames, hundredths / 100, comments.decode("utf-8", "replace"), packet)


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


def _find_box(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest rectangle with all marked pixels, one pixel if there are none."""
    import numpy as np

    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _encode_pixels(pixels: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """Return the colour table of 256 entries and the compressed indices of RGBA pixels."""
    import numpy as np
    import PIL.Image

    opaque = pixels[..., 3] > 0
    colours = PIL.Image.fromarray(np.ascontiguousarray(pixels[..., :3])).quantize(
        _TRANSPARENT, PIL.Image.Quantize.MEDIANCUT, dither=PIL.Image.Dither.NONE
    )
    table = bytes(colours.getpalette() or ()).ljust(768, b"\0")[:768]
    indices = PIL.Image.fromarray(np.where(opaque, np.asarray(colours), _TRANSPARENT).astype(np.uint8))
    indices.putpalette(table)
    encoded = io.BytesIO()
    indices.save(encoded, "GIF", optimize=False, interlace=0)
    encoded.seek(0)
    encoded.seek(_color_table_size(encoded.read(13)[10]), 1)
    while encoded.read(1) == b"\x21":
        encoded.seek(1, 1)
        _skip_sub_blocks(encoded)
    encoded.seek(_color_table_size(encoded.read(9)[8]), 1)
    return table, encoded.read()[:-1]


def _color_table_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _peek(file: BinaryIO, length: int) -> bytes:
    content = file.read(length)
    file.seek(-len(content), 1)
    return content


def _skip_sub_blocks(file: BinaryIO) -> None:
    while (length := file.read(1)) and length != b"\0":
        file.seek(length[0], 1)


def _join_sub_blocks(file: BinaryIO, max_bytes: int) -> bytes:
    """Return the content of sub-blocks up to a number of bytes, and go behind all of them."""
    content = bytearray()
    while (length := file.read(1)) and length != b"\0":
        body = file.read(length[0])
        if len(content) + len(body) <= max_bytes:
            content += body
    return bytes(content)


def _read_packet(file: BinaryIO) -> bytes:
    """Return an XMP packet, and go behind its trailer. Without one nothing more is read from the file."""
    content = file.read(MAX_TEXT)
    end = content.find(_XMP_END)
    if end < 0:
        file.seek(0, 2)
        return b""
    file.seek(end + len(_XMP_END) - len(content), 1)
    return content[:end]
