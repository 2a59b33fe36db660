"""Limits of what is decoded: the formats that Pillow may open, and the memory that an image takes, by its header."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from studio.core.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "DIB", "ICO", "JPEG2000", "QOI", "PPM")
"""The formats that Pillow may open, for the extensions in `images.IMAGE_SUFFIXES`. No other parser sees a file."""
MAX_PIXELS = 200_000_000
"""Maximum size of images; larger ones are refused before decoding (14,142² square, 800 MB as RGBA)."""
PILLOW_MAX_PIXELS = MAX_PIXELS // 2
"""Value of Pillow's own limit, which refuses twice as many: it makes the canvas of a GIF when it opens one."""
MAX_DECODED_BYTES = 1_000_000_000
"""Maximum memory of one decoded frame with its conversion to 8 bits."""

_SMALL_MODES = {"1": 1, "L": 1, "P": 1}
_STORED_BYTES = 4
"""Bytes of a pixel in Pillow's memory for all modes that are not small and have no 16-bit layout."""
_SAMPLES, _BITS, _TILE_WIDTH, _TILE_LENGTH = 277, 258, 322, 323
_ICON_SIGNATURE, _ICON_ENTRY = b"\0\0\1\0", 16
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def check_image(image: Image, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Raise BadInput if an image that is not decoded yet would take too much memory.

    Width × height × channels × bytes per sample count, as the header states them. Of an animated image it is the
    frame that is chosen.
    """
    _check_size(*_find_largest_size(image), count_pixel_bytes(image), name, max_pixels)


def _check_size(width: int, height: int, pixel_bytes: int, name: str, max_pixels: int) -> None:
    pixels = width * height
    if pixels > max_pixels:
        raise BadInput(
            f"{name} is too large: {width:,} × {height:,} is {pixels / 1e6:,.0f} megapixels.",
            f"Scale it to at most {max_pixels / 1e6:,.0f} megapixels.",
        )
    if pixels * pixel_bytes > MAX_DECODED_BYTES:
        raise BadInput(
            f"{name} is too large: {width:,} × {height:,} at {pixel_bytes} bytes a pixel "
            f"is {pixels * pixel_bytes / 1e6:,.0f} MB.",
            "Scale it down, or save it as RGB with 8 bits a channel.",
        )


def check_icon(file: BinaryIO, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Raise BadInput for an icon that has too large an image. Pillow decodes icons when it opens them.

    Other files pass. The position in the file is kept.
    """
    start = file.tell()
    head = file.read(6)
    if head.startswith(_ICON_SIGNATURE):
        for width, height in _list_icon_sizes(file, int.from_bytes(head[4:], "little")):
            _check_size(width, height, _STORED_BYTES, name, max_pixels)
    file.seek(start)


def count_pixel_bytes(image: Image) -> int:
    """Return the bytes that a pixel takes while an image is decoded and converted to 8 bits."""
    stored = 2 if image.mode.startswith("I;16") else _SMALL_MODES.get(image.mode, _STORED_BYTES)
    if image.format == "TIFF":
        stored = max(stored, _count_tiff_sample_bytes(image))
    elif image.format == "JPEG2000":  # the decoder has 4 bytes for each sample beside Pillow's own memory
        stored += 4 * len(image.getbands())
    return stored if image.mode in ("RGB", "RGBA") else stored + _STORED_BYTES


def _count_tiff_sample_bytes(image: Image) -> int:
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, (8,))
    widest = max(bits) if isinstance(bits, tuple) and bits else 8
    return -(-int(tags.get(_SAMPLES, 1)) * int(widest) // 8)


def _find_largest_size(image: Image) -> tuple[int, int]:
    """Return the image's size, or that of a larger part of the file which is decoded with it."""
    sizes = [image.size]
    if image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        sizes.append((int(tags.get(_TILE_WIDTH, 0)), int(tags.get(_TILE_LENGTH, 0))))
    return max(sizes, key=lambda size: size[0] * size[1])


def _list_icon_sizes(file: BinaryIO, count: int) -> Iterator[tuple[int, int]]:
    """Yield the sizes of the images in an icon as they state them; the icon's directory may state others."""
    directory = file.read(count * _ICON_ENTRY)
    for end in range(_ICON_ENTRY, len(directory) + 1, _ICON_ENTRY):
        file.seek(int.from_bytes(directory[end - 4 : end], "little"))
        head = file.read(24)
        if head.startswith(_PNG_SIGNATURE):
            yield int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
        else:
            width, height = (abs(int.from_bytes(head[at : at + 4], "little", signed=True)) for at in (4, 8))
            yield width, height // 2
