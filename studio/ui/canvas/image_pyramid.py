"""Pictures ready to be drawn at any zoom: a pyramid of halves, made off the UI thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColorSpace, QImage, QImageReader, QPainter

from studio.core.errors import BadInput
from studio.core.images import MAX_PIXELS, open_picture

SMALLEST = 256
"""The pyramid ends at the first level whose longer side is at most this."""
BAND = 2**18
"""Pixels converted at a time. Qt holds the interpreter's lock while it converts and scales, so
that a whole picture at once would stall the UI thread."""
LARGE = 8_000_000
"""Pixels from which on it takes longer than a frame may to free a picture."""
SHARP = 4.0
"""Beyond this zoom, pixels are shown as squares."""

_DRAWN_FAST = (QImage.Format.Format_RGB32, QImage.Format.Format_ARGB32_Premultiplied)


class ImagePyramid:
    """An image and its halves, quarters, …; immutable.

    `levels[0]` is the full picture. A picture with one level can be drawn too, only less
    smoothly when it is shown much smaller. `buffer` keeps alive pixels that a level shares.
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
    def large(self) -> bool:
        return self.size.width() * self.size.height() >= LARGE

    @property
    def transparent(self) -> bool:
        return self.levels[0].hasAlphaChannel()

    def draw(self, painter: QPainter, frame: QRectF, visible: QRectF, zoom: float) -> None:
        """Draws the picture so that all of it would fill `frame`; only what `visible` shows is touched.

        `zoom` is in device pixels per picture pixel.
        """
        level = self._level(zoom)
        across, down = frame.width() / level.width(), frame.height() / level.height()
        shown = frame.intersected(visible)
        if shown.isEmpty() or across <= 0 or down <= 0:
            return
        source = _whole_pixels(
            QRectF(
                (shown.left() - frame.left()) / across,
                (shown.top() - frame.top()) / down,
                shown.width() / across,
                shown.height() / down,
            )
        ).intersected(level.rect())
        target = QRectF(
            frame.left() + source.left() * across,
            frame.top() + source.top() * down,
            source.width() * across,
            source.height() * down,
        )
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, zoom <= SHARP and zoom != 1.0)
        painter.drawImage(target, level, QRectF(source))

    def _level(self, zoom: float) -> QImage:
        """The smallest level that need not be enlarged."""
        chosen = self.levels[0]
        for level in self.levels[1:]:
            if level.width() < self.size.width() * zoom * 0.999:
                break
            chosen = level
        return chosen


def wrap_pixels(pixels: bytes, width: int, height: int, channels: int) -> ImagePyramid:
    """Rows of 8-bit RGB or RGBA, shared and not copied. Raises BadInput when they do not fit."""
    if channels not in (3, 4) or width < 1 or height < 1 or len(pixels) != width * height * channels:
        raise BadInput("The preview's pixels do not fit its size.")
    pixel_format = QImage.Format.Format_RGB888 if channels == 3 else QImage.Format.Format_RGBA8888
    return ImagePyramid((QImage(pixels, width, height, width * channels, pixel_format),), pixels)


def read_pyramid(path: Path) -> ImagePyramid:
    """Reads and prepares the picture in a file; to be called off the UI thread.

    EXIF orientation and the embedded colour profile are applied. Raises BadInput when it
    is missing, no picture, damaged, or larger than `MAX_PIXELS`.
    """
    reader = QImageReader(str(path))
    reader.setAutoTransform(True)
    reader.setDecideFormatFromContent(True)
    size = reader.size()
    if size.isValid() and 0 < size.width() * size.height() <= MAX_PIXELS:
        QImageReader.setAllocationLimit(max(QImageReader.allocationLimit(), _MIB_NEEDED))
        image = reader.read()
        if not image.isNull():
            return build_pyramid(image)
    return build_pyramid(_by_pillow(path))


_MIB_NEEDED = MAX_PIXELS * 8 // 2**20 + 1
"""Enough for 16 bits a channel. The size is checked before anything is decoded."""


def _by_pillow(path: Path) -> QImage:
    """For what Qt cannot read (AVIF, CMYK TIFF); it also knows the sentence for what nobody can."""
    opened = open_picture(path)
    channels = len(opened.getbands())
    pixel_format = QImage.Format.Format_RGBA8888 if channels == 4 else QImage.Format.Format_RGB888
    pixels = opened.tobytes()
    shared = QImage(pixels, opened.width, opened.height, opened.width * channels, pixel_format)
    return _converted(shared)


def build_pyramid(image: QImage) -> ImagePyramid:
    """The pyramid over an image, in formats that are drawn fast; to be called off the UI thread."""
    return ImagePyramid(tuple(_levels(_converted(image))))


def _levels(image: QImage) -> Iterator[QImage]:
    yield image
    while max(image.width(), image.height()) > SMALLEST:
        image = _halved(image)
        yield image


def _halved(image: QImage) -> QImage:
    width, height = max(1, image.width() // 2), max(1, image.height() // 2)
    half = QImage(width, height, image.format())
    painter = QPainter(half)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
    band_rows = max(1, BAND // width)
    for top in range(0, height, band_rows):
        rows = min(band_rows, height - top)
        below = image.height() if top + rows == height else 2 * (top + rows)
        band = _band(image, 2 * top, max(1, below - 2 * top))
        smooth = band.scaled(
            width, rows, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
        painter.drawImage(0, top, smooth)
    painter.end()
    return half


def _converted(image: QImage) -> QImage:
    """As sRGB, in the format that is drawn fastest."""
    srgb = QColorSpace(QColorSpace.NamedColorSpace.SRgb)
    space = image.colorSpace()
    foreign = space.isValid() and space != srgb
    if image.format() in _DRAWN_FAST and not foreign:
        return image
    wanted = _DRAWN_FAST[1] if image.hasAlphaChannel() else _DRAWN_FAST[0]
    result = QImage(image.size(), wanted)
    painter = QPainter(result)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
    band_rows = max(1, BAND // image.width())
    for top in range(0, image.height(), band_rows):
        band = _band(image, top, min(band_rows, image.height() - top))
        if foreign:
            band.setColorSpace(space)
            band = band.convertedToColorSpace(srgb)
        painter.drawImage(0, top, band)
    painter.end()
    return result


def _band(image: QImage, top: int, rows: int) -> QImage:
    """Some rows of an image, shared where its format allows."""
    if image.colorCount():
        return image.copy(0, top, image.width(), rows)
    step = image.bytesPerLine()
    return QImage(image.constBits()[top * step : (top + rows) * step], image.width(), rows, step, image.format())


def _whole_pixels(rect: QRectF) -> QRect:
    """The rectangle grown to whole pixels, and one more around for smooth edges."""
    return rect.toAlignedRect().adjusted(-1, -1, 1, 1)
