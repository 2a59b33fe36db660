"""What an image takes in memory is told by its header: width × height × channels × bytes per sample."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.errors import BadInput
from studio.core.image_limits import MAX_DECODED_BYTES, PILLOW_FORMATS, count_pixel_bytes
from studio.core.images import IMAGE_SUFFIXES, open_picture, open_undecoded


def write_tiff(path: Path, side: int, *, samples: int, bits: int, tile: int = 0) -> Path:
    """Write the header of a TIFF of floating-point numbers, whose pixels are missing."""
    tags = [(256, 4, side), (257, 4, side), (259, 3, 1), (262, 3, 1 if samples == 1 else 2), (277, 3, samples)]
    tags += [(258, 3, bits), (339, 3, 3 if bits == 32 else 1)]
    tags += [(322, 4, tile), (323, 4, tile), (324, 4, 8), (325, 4, 4)] if tile else [(273, 4, 8), (279, 4, 4)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(tags))
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4))
    return path


def make_png(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(16))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_pack_chunk(name, body) for name, body in chunks)


def _pack_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def test_a_float_image_is_refused_at_fewer_pixels_than_one_of_8_bits(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "height.tif", 13_000, samples=1, bits=32)
    with pytest.raises(BadInput, match=r"^height\.tif is too large: 13,000 × 13,000 at 8 bytes a pixel is 1,352 MB\."):
        open_picture(path)


@pytest.mark.parametrize(("samples", "bits", "expected"), [(1, 8, 5), (1, 16, 6), (1, 32, 8), (3, 8, 4)])
def test_channels_and_bytes_per_sample_count(tmp_path: Path, samples: int, bits: int, expected: int) -> None:
    with open_undecoded(write_tiff(tmp_path / "image.tif", 100, samples=samples, bits=bits)) as image:
        assert count_pixel_bytes(image) == expected


def test_a_tile_larger_than_its_image_counts(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "tiles.tif", 16, samples=1, bits=8, tile=65_536)
    with pytest.raises(BadInput, match="65,536 × 65,536"):
        open_picture(path)


def test_an_image_in_an_icon_counts_by_its_own_header(tmp_path: Path) -> None:
    content = make_png(30_000)
    path = tmp_path / "small.ico"
    path.write_bytes(struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(content), 22) + content)
    with pytest.raises(BadInput, match="30,000 × 30,000"):
        open_picture(path)


def test_a_float_image_is_converted_in_bands(tmp_path: Path) -> None:
    path = tmp_path / "height.tif"
    Image.fromarray(np.linspace(0, 1, 3000 * 3000, dtype=np.float32).reshape(3000, 3000)).save(path)
    open_picture(path)
    tracemalloc.start()
    image = open_picture(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * image.width * image.height * 3
    assert (image.getpixel((0, 0)), image.getpixel((2999, 2999))) == ((0, 0, 0), (255, 255, 255))


def test_values_that_are_no_numbers_do_not_darken_a_float_image(tmp_path: Path) -> None:
    values = np.full((4, 4), 0.5, np.float32)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "nan.tif")
    assert open_picture(tmp_path / "nan.tif").getpixel((3, 3)) == (128, 128, 128)


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
        b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3) + bytes(200),
        b"\xd7\xcd\xc6\x9a\0\0" + bytes(300),
        b"\x1c\x02\x00\0\2" + bytes(300),
        b"/* XPM */\nstatic char *x[] = {\n\"1 1 1 1\",\n\". c #000000\",\n\".\"\n};\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_formats_that_are_not_listed_are_never_opened(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="is not an image that can be read"):
        open_picture(path)
    with pytest.raises(Exception, match="cannot identify"):
        open_undecoded(path)


def test_all_extensions_of_images_have_a_format_that_pillow_opens() -> None:
    extensions = {**Image.registered_extensions(), ".pnm": "PPM"}
    assert {extensions[suffix] for suffix in IMAGE_SUFFIXES} <= set(PILLOW_FORMATS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16"])
def test_a_shrunk_image_has_the_colours_of_the_whole_one(tmp_path: Path, mode: str) -> None:
    suffix = ".tif" if mode in ("CMYK", "I", "F", "I;16") else ".png"
    image = Image.new("RGB", (900, 600), (200, 90, 30))
    for step in ("L", mode) if mode[0] in "IF" else (mode,):
        image = image.convert(step)
    image.save(tmp_path / f"image{suffix}")
    whole, small = (open_picture(tmp_path / f"image{suffix}", shrink_to=side) for side in (0, 100))
    assert (whole.size, small.size, small.mode) == ((900, 600), (100, 67), whole.mode)
    differences = np.asarray(whole.resize((50, 50)), int) - np.asarray(small.resize((50, 50)), int)
    assert np.abs(differences).max() <= (130 if mode == "1" else 2)


def test_a_shrunk_image_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (800, 400)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_picture(tmp_path / "turned.jpg", shrink_to=100).size == (50, 100)


def test_the_limit_allows_the_largest_image_of_8_bits() -> None:
    assert MAX_DECODED_BYTES >= 200_000_000 * 4
