"""Pictures of any kind open as 8-bit sRGB; broken ones give one sentence."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from studio.core.errors import BadInput
from studio.core.images import open_picture


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (8, 6), (200, 20, 10)).save(path)
    return path


def test_a_plain_picture_keeps_its_pixels(red: Path) -> None:
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


def test_transparency_stays(tmp_path: Path) -> None:
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


def huge_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


def truncated() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()[:3000]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"just some words", "not a picture"),
        (b"", "zero bytes"),
        (truncated(), "damaged"),
        (huge_png(30_000, 30_000), "30,000 × 30,000 is 900 megapixels"),
    ],
)
def test_what_cannot_be_opened_gets_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=words):
        open_picture(path)


def test_a_missing_path_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no file"):
        open_picture(tmp_path / "none.png")
    with pytest.raises(BadInput, match="is a folder"):
        open_picture(tmp_path)
