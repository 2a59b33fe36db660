"""Pictures of any kind open as 8-bit sRGB; broken ones give one sentence."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from studio.core.errors import BadInput
from studio.core.images import open_picture, open_undecoded, read_orientation


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (8, 6), (200, 20, 10)).save(path)
    return path


def test_an_rgb_image_keeps_its_pixels(red: Path) -> None:
    image = open_picture(red)
    assert (image.mode, image.size) == ("RGB", (8, 6))
    assert image.getpixel((3, 3)) == (200, 20, 10)


@pytest.mark.parametrize(
    ("mode", "suffix", "colour", "wanted"),
    [
        ("CMYK", ".jpg", (0, 255, 255, 0), (255, 0, 0)),
        ("CMYK", ".tif", (255, 0, 0, 0), (0, 255, 255)),
        ("L", ".png", 77, (77, 77, 77)),
        ("1", ".png", 1, (255, 255, 255)),
        ("P", ".png", 0, (0, 0, 0)),
        ("I;16", ".png", 0x8000, (128, 128, 128)),
        ("F", ".tif", 0.5, (128, 128, 128)),
    ],
)
def test_every_mode_becomes_rgb(
    tmp_path: Path, mode: str, suffix: str, colour: object, wanted: tuple[int, int, int]
) -> None:
    path = tmp_path / f"picture{suffix}"
    Image.new(mode, (16, 16), colour).save(path)  # type: ignore[arg-type]
    image = open_picture(path)
    assert image.mode == "RGB"
    assert np.abs(np.array(image.getpixel((8, 8))) - wanted).max() <= 3


def test_transparency_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "glass.webp"
    Image.new("RGBA", (4, 4), (10, 20, 30, 128)).save(path, lossless=True)
    assert open_picture(path).getpixel((0, 0)) == (10, 20, 30, 128)


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "two.gif"
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ("#ff0000", "#0000ff"))
    first.save(path, save_all=True, append_images=[second], duration=50)
    assert open_picture(path).getpixel((0, 0)) == (255, 0, 0)


def test_orientation_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(path, exif=exif)
    assert open_picture(path).size == (4, 8)


def test_a_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    lab_like = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    path = tmp_path / "profile.png"
    Image.new("RGB", (4, 4), (120, 60, 30)).save(path, icc_profile=lab_like.tobytes())
    assert np.abs(np.array(open_picture(path).getpixel((0, 0))) - (120, 60, 30)).max() <= 2


def test_a_garbled_profile_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "profile.png"
    Image.new("RGB", (4, 4), (120, 60, 30)).save(path, icc_profile=b"no profile at all")
    assert open_picture(path).getpixel((0, 0)) == (120, 60, 30)


def test_a_long_compressed_text_does_not_hide_the_picture(tmp_path: Path) -> None:
    from PIL import PngImagePlugin

    path = tmp_path / "long.png"
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "x" * 3_000_000, zip=True)
    Image.new("RGB", (4, 4), "#00ff00").save(path, pnginfo=text)
    assert open_picture(path).getpixel((0, 0)) == (0, 255, 0)


MALFORMED = (
    b"",
    b"\0",
    b"not tiff at all",
    b"\xff" * 64,
    b"II*\0\xff\xff\xff\xff",
    b"MM\0*\0\0\0\x08\xff\xff" + b"\1" * 30,
    b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x05\0\0\0\xff\xff\0\0",
    b"II*\0\x08\0\0\0\x01\0\x12\x01\x05\0\x01\0\0\0\x1a\0\0\0\0\0\0\0" + bytes(20),
)
PNG_CHUNKS = [
    "eXIf",
    "iCCP",
    "gAMA",
    "cHRM",
    "pHYs",
    "sRGB",
    "tEXt",
    "zTXt",
    "iTXt",
    "acTL",
    "fcTL",
    "caBX",
    "tIME",
    "bKGD",
    "sBIT",
]
JPEG_SEGMENTS = (
    b"Exif\0\0",
    b"ICC_PROFILE\0",
    b"ICC_PROFILE\0\1\1",
    b"MPF\0",
    b"Photoshop 3.0\0",
    b"Adobe",
    b"JFIF",
    b"",
)


def encode_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("content", MALFORMED)
@pytest.mark.parametrize("kind", PNG_CHUNKS)
def test_a_png_with_malformed_metadata_opens(red: Path, kind: str, content: bytes) -> None:
    whole = red.read_bytes()
    red.write_bytes(whole[:33] + encode_chunk(kind.encode(), content) + whole[33:])
    assert open_picture(red).getpixel((3, 3)) == (200, 20, 10)
    with open_undecoded(red) as image:
        assert (image.size, read_orientation(image)) == ((8, 6), 1)


@pytest.mark.parametrize("content", MALFORMED)
@pytest.mark.parametrize("start", JPEG_SEGMENTS)
def test_a_jpeg_with_malformed_metadata_opens(tmp_path: Path, start: bytes, content: bytes) -> None:
    path = tmp_path / "red.jpg"
    Image.new("RGB", (8, 6), (200, 20, 10)).save(path, quality=100)
    whole, body = path.read_bytes(), start + content
    for marker in (0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE):
        path.write_bytes(whole[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + whole[2:])
        assert np.abs(np.array(open_picture(path).getpixel((3, 3))) - (200, 20, 10)).max() <= 3
        with open_undecoded(path) as image:
            assert (image.size, read_orientation(image)) == ((8, 6), 1)


@pytest.mark.parametrize("content", MALFORMED)
@pytest.mark.parametrize("suffix", ["webp", "avif"])
def test_other_formats_with_malformed_exif_open(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"red.{suffix}"
    exif = Image.Exif()
    exif[0x010E] = "x" * 100
    Image.new("RGB", (16, 16), (200, 20, 10)).save(path, exif=exif, quality=100)
    valid = exif.tobytes().removeprefix(b"Exif\0\0")
    whole = path.read_bytes()
    assert valid in whole
    path.write_bytes(whole.replace(valid, content.ljust(len(valid), b"\0")))
    assert np.abs(np.array(open_picture(path).getpixel((3, 3))) - (200, 20, 10)).max() <= 8


def test_the_layout_of_colours_survives_malformed_metadata(tmp_path: Path) -> None:
    """CMYK depends on Adobe's segment, palettes and their transparency on chunks."""
    cmyk, glass = tmp_path / "cmyk.jpg", tmp_path / "glass.png"
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(cmyk, quality=100)
    expected = open_picture(cmyk).getpixel((8, 8))
    whole = cmyk.read_bytes()
    cmyk.write_bytes(whole[:2] + b"\xff\xe2\0\x0eICC_PROFILE\0" + whole[2:])
    assert open_picture(cmyk).getpixel((8, 8)) == expected
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(glass, transparency=bytes([255, 77]))
    content = glass.read_bytes()
    glass.write_bytes(content[:33] + encode_chunk(b"pHYs", b"") + content[33:])
    assert open_picture(glass).getpixel((0, 0)) == (10, 20, 30, 77)


def encode_huge_png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = encode_chunk(b"IDAT", zlib.compress(b"\0" * 100)) + encode_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + encode_chunk(b"IHDR", head) + body


def encode_truncated_png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()[:3000]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"just some words", "not an image"),
        (b"", "zero bytes"),
        (encode_truncated_png(), "damaged"),
        (encode_huge_png(30_000, 30_000), "more than 200 megapixels"),
    ],
)
def test_a_file_that_cannot_be_opened_is_reported(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=words):
        open_picture(path)


def test_a_missing_file_and_a_folder_are_reported(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no file"):
        open_picture(tmp_path / "none.png")
    with pytest.raises(BadInput, match="is a folder"):
        open_picture(tmp_path)


def test_a_small_gif_with_a_huge_canvas_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gif"
    Image.new("P", (8, 8)).save(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"\x2c", 13 + 3 * 2)
    content[at + 1 : at + 9] = (60_000).to_bytes(2, "little") * 2 + (30_000).to_bytes(2, "little") * 2
    path.write_bytes(content)
    with pytest.raises(BadInput, match="more than 200 megapixels"):
        open_picture(path)
