"""The mask that is being painted: grey pixels, white where the picture should change."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, QSize
from PySide6.QtGui import QColor, QImage, QPainter, QUndoCommand

from studio.ui.canvas.brush import Brush, Dab, make_brush_tip
from studio.ui.canvas.image_pyramid import SMALLEST_LEVEL, ImagePyramid
from studio.ui.theme import theme

TILE = 512
"""Side in pixels of the tiles that are stored for undo."""
MASK_OPACITY = 0.5
"""Opacity of the accent colour where the mask is white."""

Tiles = dict[tuple[int, int], bytes]
"""Compressed pixels of tiles by column and row; a single byte for a tile of one grey."""


class MaskLayer:
    """The mask of one picture, and its halves, quarters, …, which are updated when they are drawn.

    The pixels are never shared with another image, because Qt would copy them on write and leave the
    tinted views behind.
    """

    def __init__(self, size: QSize, image: QImage | None = None) -> None:
        """Take over `image`, 8-bit grey of this size, or start black. A large mask takes some time."""
        self._levels = [_make_black(size) if image is None else image]
        while max(self._levels[-1].width(), self._levels[-1].height()) > SMALLEST_LEVEL:
            finer = self._levels[-1]
            self._levels.append(_make_black(QSize(max(1, finer.width() // 2), max(1, finer.height() // 2))))
        self._stale = [QRect() for _ in self._levels]
        self._views: tuple[QImage, ...] = ()
        self._tint = ""
        self._undo_tiles: Tiles = {}
        if image is not None:
            self._invalidate(image.rect())
            self._update_levels(0)

    @property
    def image(self) -> QImage:
        """The pixels, to read. Use `copy` to keep them."""
        return self._levels[0]

    @property
    def size(self) -> QSize:
        return self.image.size()

    def copy(self) -> QImage:
        return self.image.copy()

    def copy_scaled(self, side: int) -> QImage:
        """Return a copy of the largest level whose longer side is at most `side`, or of the smallest level."""
        for level in self._levels:
            if max(level.width(), level.height()) <= side:
                break
        self._update_levels(level.width() / self.size.width())
        return level.copy()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is painted. The smallest level answers quickly if something is."""
        self._update_levels(0)
        if any(_read_pixels(self._levels[-1])):
            return False
        pixels = _read_pixels(self.image)
        return pixels == bytes(len(pixels))

    # Painting
    def paint(self, brush: Brush, dabs: Sequence[Dab]) -> QRect:
        """Paint or erase, and return the changed rectangle. The old tiles are kept for `take_undo_tiles`."""
        changed = QRect()
        for dab in dabs:
            tip = make_brush_tip(dab.size, brush.hardness, erases=brush.erases)
            corner = dab.at - QPointF(tip.width() / 2, tip.height() / 2)
            touched = QRectF(corner, tip.size().toSizeF()).toAlignedRect().intersected(self.image.rect())
            if touched.isEmpty():
                continue
            self._save_tiles(touched)
            self._composite(tip, corner, touched, erases=brush.erases)
            changed = changed.united(touched)
        self._invalidate(changed)
        return changed

    def invert(self) -> None:
        for level in self._levels:
            level.invertPixels()

    def fill(self, level: int) -> None:
        """Fill the mask with a grey, 0..255. The old tiles are kept for `take_undo_tiles`."""
        self._save_tiles(self.image.rect())
        for image in self._levels:
            image.fill(QColor(level, level, level))
        self._stale = [QRect() for _ in self._levels]

    def take_undo_tiles(self) -> Tiles:
        """Return the tiles as they were before all changes since the last call."""
        tiles, self._undo_tiles = self._undo_tiles, {}
        return tiles

    def swap(self, tiles: Tiles) -> tuple[Tiles, QRect]:
        """Put tiles into the mask; return the tiles that they replace, and the changed rectangle."""
        replaced, changed = {}, QRect()
        for place, packed in tiles.items():
            rect = self._tile(place)
            replaced[place] = self._pack(rect)
            self._unpack(rect, packed)
            changed = changed.united(rect)
        self._invalidate(changed)
        return replaced, changed

    def _composite(self, tip: QImage, corner: QPointF, touched: QRect, *, erases: bool) -> None:
        mode = QPainter.CompositionMode
        painter = QPainter(self.image)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setClipRect(touched)
        painter.setCompositionMode(mode.CompositionMode_Darken if erases else mode.CompositionMode_Lighten)
        small = tip.width() < 64  # a whole pixel more or less shows only in small ones
        painter.drawImage(corner if small else QPointF(corner.toPoint()), tip)
        painter.end()

    # Tiles
    def _save_tiles(self, rect: QRect) -> None:
        for row in range(rect.top() // TILE, rect.bottom() // TILE + 1):
            for column in range(rect.left() // TILE, rect.right() // TILE + 1):
                if (column, row) not in self._undo_tiles:
                    self._undo_tiles[column, row] = self._pack(self._tile((column, row)))

    def _tile(self, place: tuple[int, int]) -> QRect:
        return QRect(QPoint(place[0] * TILE, place[1] * TILE), QSize(TILE, TILE)).intersected(self.image.rect())

    def _pack(self, rect: QRect) -> bytes:
        tile = self.image.copy(rect)  # keep a reference, because constBits does not
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
        """Draw the mask in the accent colour; see `ImagePyramid.draw`."""
        if self._tint != theme.COLOURS.accent:
            self._tint = theme.COLOURS.accent
            self._views = tuple(make_tinted_view(level, QColor(self._tint)) for level in self._levels)
        self._update_levels(zoom)
        ImagePyramid(self._views).draw(painter, frame, visible, zoom)

    def _invalidate(self, rect: QRect) -> None:
        """Mark a rectangle of the smaller levels as outdated."""
        if rect.isEmpty():
            return
        for depth in range(1, len(self._levels)):
            self._stale[depth] = self._stale[depth].united(rect)

    def _update_levels(self, zoom: float) -> None:
        """Update the levels that are needed to draw at this zoom."""
        for depth in range(1, len(self._levels)):
            if self._levels[depth].width() < self.size.width() * zoom * 0.999:
                return
            stale, self._stale[depth] = self._stale[depth], QRect()
            if not stale.isEmpty():
                self._halve(depth, stale)

    def _halve(self, depth: int, stale: QRect) -> None:
        """Compute a level from the finer one inside `stale`, in pixels of the full level."""
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
    """Undoes and redoes a stroke that is already painted, by the tiles that it changed."""

    def __init__(self, text: str, layer: MaskLayer, changed: Callable[[MaskLayer, QRect], None]) -> None:
        """Take the undo tiles of `layer`. `changed` is called after each undo and redo."""
        super().__init__(text)
        self._layer, self._changed = layer, changed
        self._tiles = layer.take_undo_tiles()
        self._done = True

    @property
    def has_changes(self) -> bool:
        return bool(self._tiles)

    def redo(self) -> None:
        if self._done:  # QUndoStack.push calls redo
            self._done = False
        else:
            self._swap()

    def undo(self) -> None:
        self._swap()

    def _swap(self) -> None:
        self._tiles, rect = self._layer.swap(self._tiles)
        self._changed(self._layer, rect)


class InvertCommand(QUndoCommand):
    """Inverts a mask. Inverting again undoes it, without tiles."""

    def __init__(self, layer: MaskLayer, changed: Callable[[MaskLayer, QRect], None]) -> None:
        super().__init__("inverting the mask")
        self._layer, self._changed = layer, changed

    def redo(self) -> None:
        self._layer.invert()
        self._changed(self._layer, self._layer.image.rect())

    def undo(self) -> None:
        self.redo()


def _make_black(size: QSize) -> QImage:
    image = QImage(size, QImage.Format.Format_Grayscale8)
    image.fill(0)
    return image


def _read_pixels(image: QImage) -> bytes:
    """Return the pixels without the padding that aligns each row to four bytes."""
    pixels, stride, width = bytes(image.constBits()), image.bytesPerLine(), image.width()
    if stride == width:
        return pixels
    return b"".join(pixels[at : at + width] for at in range(0, len(pixels), stride))


def make_tinted_view(level: QImage, tint: QColor) -> QImage:
    """Return an image that shows grey pixels as shades of a colour. It shares their memory; keep `level` alive."""
    view = QImage(level.constBits(), level.width(), level.height(), level.bytesPerLine(), QImage.Format.Format_Indexed8)
    red, green, blue = tint.red(), tint.green(), tint.blue()
    view.setColorTable([QColor(red, green, blue, round(grey * MASK_OPACITY)).rgba() for grey in range(256)])
    return view
