"""Image pyramids, which are drawn quickly at any zoom. They are built on a thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColorSpace, QImage, QImageReader, QPainter

from studio.core.errors import BadInput
from studio.core.image_limits import MAX_DECODED_BYTES, MAX_PIXELS
from studio.core.images import open_picture
from studio.core.untrusted_files import damage_as_bad_input, refuse_devices

SMALLEST_LEVEL = 256
"""Longest side of the smallest level, in pixels."""
BAND_PIXELS = 2**18
"""Number of pixels that are converted at a time. Qt holds the GIL while it converts and scales, so that a
whole picture at once would block the UI thread."""
LARGE_PIXELS = 8_000_000
"""Number of pixels from which freeing a picture takes longer than a frame."""
PIXELATED_ZOOM = 4.0
"""Zoom above which pixels are shown as squares."""

_FAST_FORMATS = (QImage.Format.Format_RGB32, QImage.Format.Format_ARGB32_Premultiplied)


class ImagePyramid:
    """An image and its halves, quarters, …; immutable.

    `levels[0]` is the full image. A pyramid of one level can be drawn too, but less smoothly at a small
    zoom. `buffer` keeps the pixels alive that a level shares.
    """

    def __init__(self, levels: tuple[QImage, ...], buffer: bytes | None = None) -> None:
        self.levels = levels
        self._buffer = buffer

    @property
    def size(self) -> QSize:
        return self.levels[0].size()

    @property
    def image(self) -> QImage:
        return self.levels[0]

    @property
    def is_large(self) -> bool:
        return self.size.width() * self.size.height() >= LARGE_PIXELS

    @property
    def has_alpha(self) -> bool:
        return self.levels[0].hasAlphaChannel()

    def draw(self, painter: QPainter, frame: QRectF, visible: QRectF, zoom: float) -> None:
        """Draw the part of the picture inside `visible`. The whole picture fills `frame`.

        `zoom` is in device pixels per picture pixel.
        """
        level = self._choose_level(zoom)
        across, down = frame.width() / level.width(), frame.height() / level.height()
        visible_part = frame.intersected(visible)
        if visible_part.isEmpty() or across <= 0 or down <= 0:
            return
        source = _align_to_pixels(
            QRectF(
                (visible_part.left() - frame.left()) / across,
                (visible_part.top() - frame.top()) / down,
                visible_part.width() / across,
                visible_part.height() / down,
            )
        ).intersected(level.rect())
        target = QRectF(
            frame.left() + source.left() * across,
            frame.top() + source.top() * down,
            source.width() * across,
            source.height() * down,
        )
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, zoom <= PIXELATED_ZOOM and zoom != 1.0)
        painter.drawImage(target, level, QRectF(source))

    def _choose_level(self, zoom: float) -> QImage:
        """Return the smallest level that is not enlarged at this zoom."""
        smallest = self.levels[0]
        for level in self.levels[1:]:
            if level.width() < self.size.width() * zoom * 0.999:
                break
            smallest = level
        return smallest


def wrap_pixels(pixels: bytes, width: int, height: int, channels: int) -> ImagePyramid:
    """Return a pyramid of one level that shares rows of 8-bit RGB or RGBA. Raises BadInput if the size is wrong."""
    if channels not in (3, 4) or width < 1 or height < 1 or len(pixels) != width * height * channels:
        raise BadInput("The preview's pixels do not match its size.")
    pixel_format = QImage.Format.Format_RGB888 if channels == 3 else QImage.Format.Format_RGBA8888
    return ImagePyramid((QImage(pixels, width, height, width * channels, pixel_format),), pixels)


def read_pyramid(path: Path) -> ImagePyramid:
    """Read a picture and build its pyramid. Call this on a thread.

    The EXIF orientation and the embedded colour profile are applied. Raises BadInput if the file is
    missing, not a picture, damaged, or larger than `MAX_PIXELS`.
    """
    with damage_as_bad_input(path):
        refuse_devices(path)
    reader = QImageReader(str(path))
    reader.setAutoTransform(True)
    reader.setDecideFormatFromContent(True)
    if _fits_into_memory(reader):
        QImageReader.setAllocationLimit(max(QImageReader.allocationLimit(), _MIB_NEEDED))
        image = reader.read()
        if not image.isNull():
            return build_pyramid(image)
    return build_pyramid(_read_with_pillow(path))


_MIB_NEEDED = MAX_DECODED_BYTES // 2**20 + 1
"""Qt's allocation limit. The size is checked before decoding."""
_QT_FORMATS = frozenset({"png", "jpeg", "webp", "gif", "bmp"})
"""The formats that Qt reads; of others it decodes some at 16 bytes a pixel, and would open some that are no images."""


def _fits_into_memory(reader: QImageReader) -> bool:
    size = reader.size()
    if bytes(reader.format().data()).decode() not in _QT_FORMATS or size.isEmpty():
        return False
    pixels = size.width() * size.height()
    depth = QImage.toPixelFormat(reader.imageFormat()).bitsPerPixel()
    return pixels <= MAX_PIXELS and pixels * max(4, depth // 8) <= MAX_DECODED_BYTES


def _read_with_pillow(path: Path) -> QImage:
    """Read a format that Qt cannot (AVIF, CMYK TIFF). Pillow's error is the sentence for a damaged file."""
    opened = open_picture(path)
    channels = len(opened.getbands())
    pixel_format = QImage.Format.Format_RGBA8888 if channels == 4 else QImage.Format.Format_RGB888
    pixels = opened.tobytes()
    shared = QImage(pixels, opened.width, opened.height, opened.width * channels, pixel_format)
    return _convert(shared)


def build_pyramid(image: QImage) -> ImagePyramid:
    """Build the pyramid of an image, in a format that Qt draws fast. Call this on a thread."""
    return ImagePyramid(tuple(_build_levels(_convert(image))))


def _build_levels(image: QImage) -> Iterator[QImage]:
    yield image
    while max(image.width(), image.height()) > SMALLEST_LEVEL:
        image = _halve(image)
        yield image


def _halve(image: QImage) -> QImage:
    width, height = max(1, image.width() // 2), max(1, image.height() // 2)
    half = QImage(width, height, image.format())
    painter = QPainter(half)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
    band_rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, band_rows):
        rows = min(band_rows, height - top)
        below = image.height() if top + rows == height else 2 * (top + rows)
        band = _crop_rows(image, 2 * top, max(1, below - 2 * top))
        smooth = band.scaled(
            width, rows, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
        painter.drawImage(0, top, smooth)
    painter.end()
    return half


def _convert(image: QImage) -> QImage:
    """Convert an image to sRGB, in the format that Qt draws fastest."""
    srgb = QColorSpace(QColorSpace.NamedColorSpace.SRgb)
    space = image.colorSpace()
    needs_profile = space.isValid() and space != srgb
    if image.format() in _FAST_FORMATS and not needs_profile:
        return image
    target_format = _FAST_FORMATS[1] if image.hasAlphaChannel() else _FAST_FORMATS[0]
    result = QImage(image.size(), target_format)
    painter = QPainter(result)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
    band_rows = max(1, BAND_PIXELS // image.width())
    for top in range(0, image.height(), band_rows):
        band = _crop_rows(image, top, min(band_rows, image.height() - top))
        if needs_profile:
            band.setColorSpace(space)
            band = band.convertedToColorSpace(srgb)
        painter.drawImage(0, top, band)
    painter.end()
    return result


def _crop_rows(image: QImage, top: int, rows: int) -> QImage:
    """Return some rows of an image, which share its pixels if its format allows."""
    if image.colorCount():
        return image.copy(0, top, image.width(), rows)
    step = image.bytesPerLine()
    return QImage(image.constBits()[top * step : (top + rows) * step], image.width(), rows, step, image.format())


def _align_to_pixels(rect: QRectF) -> QRect:
    """Return the rectangle grown to whole pixels, plus one pixel on each side for smooth edges."""
    return rect.toAlignedRect().adjusted(-1, -1, 1, 1)
