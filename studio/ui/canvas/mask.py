"""A mask in the making: grey pixels of a picture's size, white where the picture is to change."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, QSize
from PySide6.QtGui import QColor, QImage, QPainter, QUndoCommand

from studio.ui.canvas.brush import Brush, Dab, brush_tip
from studio.ui.canvas.image_pyramid import SMALLEST, ImagePyramid
from studio.ui.theme import theme

TILE = 512
"""Side of the squares that undo keeps, in pixels."""
OPACITY = 0.5
"""Of the accent colour where the mask is white."""

Tiles = dict[tuple[int, int], bytes]
"""Compressed pixels by column and row; a single byte where all of them are equal."""


class MaskLayer:
    """The mask of one picture, and its halves, quarters, … which are brought up to date when they are drawn.

    The pixels are never shared with another image: a write would move them away from their views.
    """

    def __init__(self, size: QSize, image: QImage | None = None) -> None:
        """`image` is taken over; it must be 8-bit grey and of this size. A large one takes its time."""
        self._levels = [_black(size) if image is None else image]
        while max(self._levels[-1].width(), self._levels[-1].height()) > SMALLEST:
            finer = self._levels[-1]
            self._levels.append(_black(QSize(max(1, finer.width() // 2), max(1, finer.height() // 2))))
        self._stale = [QRect() for _ in self._levels]
        self._views: tuple[QImage, ...] = ()
        self._tint = ""
        self._before: Tiles = {}
        if image is not None:
            self._spoil(image.rect())
            self._freshen(0)

    @property
    def image(self) -> QImage:
        """To look at; `copy` gives one to keep."""
        return self._levels[0]

    @property
    def size(self) -> QSize:
        return self.image.size()

    def copy(self) -> QImage:
        return self.image.copy()

    def reduced(self, side: int) -> QImage:
        """A copy whose longer side is at most this, or the smallest there is."""
        for level in self._levels:
            if max(level.width(), level.height()) <= side:
                break
        self._freshen(level.width() / self.size.width())
        return level.copy()

    @property
    def empty(self) -> bool:
        """Nothing is painted. Quick where something is, since the smallest level tells it."""
        self._freshen(0)
        if any(_grey(self._levels[-1])):
            return False
        pixels = _grey(self.image)
        return pixels == bytes(len(pixels))

    # Painting
    def put_down(self, brush: Brush, dabs: Sequence[Dab]) -> QRect:
        """Paints or erases, and returns what changed. `take_before` then has the tiles as they were."""
        changed = QRect()
        for dab in dabs:
            spot = brush_tip(dab.size, brush.hardness, erases=brush.erases)
            corner = dab.at - QPointF(spot.width() / 2, spot.height() / 2)
            touched = QRectF(corner, spot.size().toSizeF()).toAlignedRect().intersected(self.image.rect())
            if touched.isEmpty():
                continue
            self._remember(touched)
            self._lay(spot, corner, touched, erases=brush.erases)
            changed = changed.united(touched)
        self._spoil(changed)
        return changed

    def invert(self) -> None:
        for level in self._levels:
            level.invertPixels()

    def fill(self, level: int) -> None:
        """All of it becomes this grey, 0..255. `take_before` has what is lost."""
        self._remember(self.image.rect())
        for image in self._levels:
            image.fill(QColor(level, level, level))
        self._stale = [QRect() for _ in self._levels]

    def take_before(self) -> Tiles:
        """The tiles as they were before the painting since the last call."""
        before, self._before = self._before, {}
        return before

    def swap(self, tiles: Tiles) -> tuple[Tiles, QRect]:
        """Puts tiles in their places; returns those that stood there, and what changed."""
        others, changed = {}, QRect()
        for place, packed in tiles.items():
            rect = self._tile(place)
            others[place] = self._pack(rect)
            self._unpack(rect, packed)
            changed = changed.united(rect)
        self._spoil(changed)
        return others, changed

    def _lay(self, spot: QImage, corner: QPointF, touched: QRect, *, erases: bool) -> None:
        mode = QPainter.CompositionMode
        painter = QPainter(self.image)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setClipRect(touched)
        painter.setCompositionMode(mode.CompositionMode_Darken if erases else mode.CompositionMode_Lighten)
        small = spot.width() < 64  # a whole pixel more or less shows only in small ones
        painter.drawImage(corner if small else QPointF(corner.toPoint()), spot)
        painter.end()

    # Tiles
    def _remember(self, rect: QRect) -> None:
        for row in range(rect.top() // TILE, rect.bottom() // TILE + 1):
            for column in range(rect.left() // TILE, rect.right() // TILE + 1):
                if (column, row) not in self._before:
                    self._before[column, row] = self._pack(self._tile((column, row)))

    def _tile(self, place: tuple[int, int]) -> QRect:
        return QRect(QPoint(place[0] * TILE, place[1] * TILE), QSize(TILE, TILE)).intersected(self.image.rect())

    def _pack(self, rect: QRect) -> bytes:
        tile = self.image.copy(rect)  # named, for its bits go with it
        pixels = bytes(tile.constBits())
        return pixels[:1] if pixels == pixels[:1] * len(pixels) else zlib.compress(pixels, 1)

    def _unpack(self, rect: QRect, packed: bytes) -> None:
        if len(packed) == 1:
            painter = QPainter(self.image)
            painter.fillRect(rect, QColor(packed[0], packed[0], packed[0]))
            painter.end()
            return
        pixels = zlib.decompress(packed)
        step = len(pixels) // rect.height()
        tile = QImage(pixels, rect.width(), rect.height(), step, QImage.Format.Format_Grayscale8)
        painter = QPainter(self.image)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
        painter.drawImage(rect.topLeft(), tile)
        painter.end()

    # Looking
    def draw(self, painter: QPainter, frame: QRectF, visible: QRectF, zoom: float) -> None:
        """As `ImagePyramid.draw`, in the accent colour."""
        if self._tint != theme.COLOURS.accent:
            self._tint = theme.COLOURS.accent
            self._views = tuple(tint_levels(level, QColor(self._tint)) for level in self._levels)
        self._freshen(zoom)
        ImagePyramid(self._views).draw(painter, frame, visible, zoom)

    def _spoil(self, rect: QRect) -> None:
        """The smaller levels do not show this part of the full one any more."""
        if rect.isEmpty():
            return
        for depth in range(1, len(self._levels)):
            self._stale[depth] = self._stale[depth].united(rect)

    def _freshen(self, zoom: float) -> None:
        """Brings the levels up to date that a drawing at this zoom needs."""
        for depth in range(1, len(self._levels)):
            if self._levels[depth].width() < self.size.width() * zoom * 0.999:
                return
            stale, self._stale[depth] = self._stale[depth], QRect()
            if not stale.isEmpty():
                self._halve(depth, stale)

    def _halve(self, depth: int, stale: QRect) -> None:
        """`stale` is in pixels of the full level."""
        level, finer = self._levels[depth], self._levels[depth - 1]
        shrunk = QRect(
            QPoint(stale.left() >> depth, stale.top() >> depth),
            QPoint((stale.right() >> depth) + 1, (stale.bottom() >> depth) + 1),
        ).intersected(level.rect())
        source = QRect(shrunk.topLeft() * 2, shrunk.size() * 2).intersected(finer.rect())
        painter = QPainter(level)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(shrunk, finer, source)
        painter.end()


class PaintCommand(QUndoCommand):
    """What was painted already, for Ctrl+Z: the tiles that a stroke touched, each way."""

    def __init__(self, text: str, layer: MaskLayer, changed: Callable[[MaskLayer, QRect], None]) -> None:
        """`changed` hears of every undo and redo, and shows it."""
        super().__init__(text)
        self._layer, self._changed = layer, changed
        self._others = layer.take_before()
        self._done = True

    @property
    def touched(self) -> bool:
        return bool(self._others)

    def redo(self) -> None:
        if self._done:  # a stack calls it when it takes the command
            self._done = False
        else:
            self._swap()

    def undo(self) -> None:
        self._swap()

    def _swap(self) -> None:
        self._others, rect = self._layer.swap(self._others)
        self._changed(self._layer, rect)


class InvertCommand(QUndoCommand):
    """Its own way back, which needs no tiles."""

    def __init__(self, layer: MaskLayer, changed: Callable[[MaskLayer, QRect], None]) -> None:
        super().__init__("inverting the mask")
        self._layer, self._changed = layer, changed

    def redo(self) -> None:
        self._layer.invert()
        self._changed(self._layer, self._layer.image.rect())

    def undo(self) -> None:
        self.redo()


def _black(size: QSize) -> QImage:
    image = QImage(size, QImage.Format.Format_Grayscale8)
    image.fill(0)
    return image


def _grey(image: QImage) -> bytes:
    """The pixels, without what stands behind each row to make its length a multiple of four, which Qt never writes."""
    whole, row, across = bytes(image.constBits()), image.bytesPerLine(), image.width()
    return whole if row == across else b"".join(whole[at : at + across] for at in range(0, len(whole), row))


def tint_levels(level: QImage, tint: QColor) -> QImage:
    """The same memory of grey pixels, read as shades of a colour. It must not outlive them."""
    view = QImage(level.constBits(), level.width(), level.height(), level.bytesPerLine(), QImage.Format.Format_Indexed8)
    red, green, blue = tint.red(), tint.green(), tint.blue()
    view.setColorTable([QColor(red, green, blue, round(grey * OPACITY)).rgba() for grey in range(256)])
    return view
