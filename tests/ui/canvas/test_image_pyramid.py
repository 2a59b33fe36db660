"""Image pyramids: formats, colours, sizes and scaling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QColorSpace, QImage, QPainter
from pytestqt.qtbot import QtBot

from studio.core.errors import BadInput
from studio.ui.canvas.image_pyramid import ImagePyramid, build_pyramid, read_pyramid, wrap_pixels

pytestmark = pytest.mark.usefixtures("qapp")


def draw(picture: ImagePyramid, frame: QRectF, zoom: float, size: int = 100) -> QImage:
    screen = QImage(size, size, QImage.Format.Format_RGB32)
    screen.fill(QColor("black"))
    painter = QPainter(screen)
    picture.draw(painter, frame, QRectF(screen.rect()), zoom)
    painter.end()
    return screen


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.avif", "a.tif", "a.gif", "a.bmp"])
def test_every_usual_format_is_read(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (300, 200), (200, 40, 40)).save(tmp_path / name)
    picture = read_pyramid(tmp_path / name)
    assert (picture.size.width(), picture.size.height()) == (300, 200)
    assert abs(picture.image.pixelColor(150, 100).red() - 200) < 12
    assert not picture.has_alpha


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "I;16", "RGBA", "CMYK"])
def test_every_mode_is_read(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(np.full((70, 300), 32768, np.uint16)).save(file)
    else:
        Image.new("RGBA", (300, 70), (128, 128, 128, 255)).convert(mode).save(file)
    picture = read_pyramid(file)
    assert picture.size.width() == 300
    assert picture.levels[-1].width() <= 256


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_pyramid(tmp_path / "turned.jpg").size.height() == 40


def test_a_wrong_extension_is_no_obstacle(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png", format="JPEG")
    assert read_pyramid(tmp_path / "a.png").size.width() == 30


def test_a_wide_gamut_is_shown_in_srgb() -> None:
    wide = QImage(300, 300, QImage.Format.Format_RGB32)
    wide.fill(QColor(200, 100, 50))
    wide.setColorSpace(QColorSpace(QColorSpace.NamedColorSpace.AdobeRgb))
    expected = wide.convertedToColorSpace(QColorSpace(QColorSpace.NamedColorSpace.SRgb)).pixelColor(5, 5)
    shown = build_pyramid(wide).image.pixelColor(5, 299)
    assert shown == expected
    assert shown != QColor(200, 100, 50)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"no picture at all", "not an image"), (None, "no file")],
)
def test_an_unreadable_file_is_reported_in_a_sentence(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "bad.png"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput, match=words):
        read_pyramid(file)


def test_a_truncated_picture_is_reported(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    content = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match="damaged"):
        read_pyramid(tmp_path / "cut.png")


def test_a_picture_beyond_the_limit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "bomb.png").write_bytes(png + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    with pytest.raises(BadInput, match="too large"):
        read_pyramid(tmp_path / "bomb.png")


def test_the_pyramid_halves_down_to_the_smallest() -> None:
    image = QImage(1001, 600, QImage.Format.Format_RGB32)
    image.fill(QColor("teal"))
    sizes = [(level.width(), level.height()) for level in build_pyramid(image).levels]
    assert sizes == [(1001, 600), (500, 300), (250, 150)]


def test_halving_in_bands_leaves_no_seams() -> None:
    image = QImage(600, 600, QImage.Format.Format_RGB32)
    for y in range(600):
        for x in (0, 300, 599):
            image.setPixelColor(x, y, QColor(y % 256, 0, 0))
    image.fill(QColor(90, 120, 30))
    half = build_pyramid(image).levels[1]
    assert {half.pixel(x, y) for x in range(0, 300, 7) for y in range(300)} == {image.pixel(0, 0)}


def test_a_reduced_picture_is_smooth() -> None:
    stripes = QImage(800, 800, QImage.Format.Format_RGB32)
    stripes.fill(QColor("black"))
    painter = QPainter(stripes)
    for x in range(0, 800, 2):
        painter.fillRect(x, 0, 1, 800, QColor("white"))
    painter.end()
    screen = draw(build_pyramid(stripes), QRectF(0, 0, 100, 100), 0.125)
    assert all(110 <= screen.pixelColor(x, 50).red() <= 145 for x in range(5, 95))


def test_enlarged_pixels_are_squares() -> None:
    two = QImage(2, 1, QImage.Format.Format_RGB32)
    two.setPixelColor(0, 0, QColor("black"))
    two.setPixelColor(1, 0, QColor("white"))
    screen = draw(build_pyramid(two), QRectF(0, 0, 100, 50), 50.0)
    assert screen.pixelColor(48, 20) == QColor("black")
    assert screen.pixelColor(52, 20) == QColor("white")


def test_the_far_end_of_a_very_wide_picture_is_drawn() -> None:
    wide = QImage(40_000, 50, QImage.Format.Format_RGB32)
    wide.fill(QColor("blue"))
    painter = QPainter(wide)
    painter.fillRect(39_000, 0, 1_000, 50, QColor("red"))
    painter.end()
    for zoom in (1.0, 1.5, 3.0):
        screen = draw(build_pyramid(wide), QRectF(100 - 40_000 * zoom, 0, 40_000 * zoom, 50 * zoom), zoom)
        assert screen.pixelColor(50, 20) == QColor("red")


def test_pixels_of_a_preview_are_shared(qtbot: QtBot) -> None:
    pixels = bytes([10, 20, 30] * 6)
    picture = wrap_pixels(pixels, 3, 2, 3)
    del pixels
    assert picture.image.pixelColor(2, 1) == QColor(10, 20, 30)


@pytest.mark.parametrize(("size", "channels"), [((3, 3), 3), ((3, 2), 4), ((0, 2), 3), ((3, 2), 1)])
def test_pixels_of_a_wrong_size_are_refused(size: tuple[int, int], channels: int) -> None:
    with pytest.raises(BadInput):
        wrap_pixels(bytes(18), *size, channels)
