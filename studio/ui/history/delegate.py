"""Draws a creation in the grid: its thumbnail, star and kind."""

from __future__ import annotations

from collections import OrderedDict
from functools import cache

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPen, QPixmap
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from studio.library.creation import Creation, CreationKind
from studio.state.library.history_model import HistoryModel
from studio.ui.theme import icons, theme

GAP = 4
"""Gap between cells in pixels."""
ROUND = 4.0
CACHE_SIZE = 400
"""Number of cached cells; about forty are visible."""

_GLYPHS = {
    CreationKind.TEXT: "text",
    CreationKind.MODEL: "cube-outline",
    CreationKind.ANIMATION: "play",
    CreationKind.IMAGE: "image-outline",
}


class CreationDelegate(QStyledItemDelegate):
    def __init__(self) -> None:
        super().__init__()
        self._cells: OrderedDict[tuple[int, int, float], QPixmap] = OrderedDict()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return option.rect.size()

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        creation: Creation | None = index.data(HistoryModel.CreationRole)
        image: QImage | None = index.data(HistoryModel.ThumbnailRole)
        cell = QRect(option.rect).adjusted(0, 0, -GAP, -GAP)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if image is None or image.isNull():
            self._draw_blank(painter, cell, creation if image is not None else None)
        else:
            if creation is not None and creation.missing:
                painter.setOpacity(0.3)
            painter.drawPixmap(
                cell.topLeft(), self._make_cell(image, cell.width(), painter.device().devicePixelRatioF())
            )
            painter.setOpacity(1.0)
        if creation is not None:
            self._draw_marks(painter, cell, creation, blank=image is None or image.isNull())
        state = option.state
        if state & QStyle.StateFlag.State_Selected:
            _draw_ring(painter, cell, theme.COLOURS.accent, 2.0)
        elif state & QStyle.StateFlag.State_HasFocus:
            _draw_ring(painter, cell, theme.COLOURS.text, 1.0)
        elif state & QStyle.StateFlag.State_MouseOver:
            _draw_ring(painter, cell, theme.COLOURS.faint, 1.0)
        painter.restore()

    def _make_cell(self, image: QImage, side: int, ratio: float) -> QPixmap:
        key = (image.cacheKey(), side, ratio)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = crop_rounded_square(image, side, ratio, ROUND)
            if len(self._cells) > CACHE_SIZE:
                self._cells.popitem(last=False)
        else:
            self._cells.move_to_end(key)
        return cell

    def _draw_blank(self, painter: QPainter, cell: QRect, creation: Creation | None) -> None:
        """Draw a cell without a thumbnail: the beginning of a text, or an empty cell while it is loaded."""
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.COLOURS.raised if creation else theme.COLOURS.field))
        painter.drawRoundedRect(cell, ROUND, ROUND)
        if creation is None:
            return
        if creation.title and creation.kind in (CreationKind.TEXT, CreationKind.MODEL):
            serif = creation.kind is CreationKind.TEXT
            painter.setFont(theme.reading_font(theme.CAPTION) if serif else theme.font(theme.CAPTION))
            painter.setPen(QColor(theme.COLOURS.dim))
            painter.drawText(cell.adjusted(8, 8, -8, -26), int(Qt.TextFlag.TextWordWrap), creation.title[:120])
        else:
            glyph = _make_glyph(_glyph_of(creation), 24, theme.COLOURS.dim, painter.device().devicePixelRatioF())
            painter.drawPixmap(cell.center() - QRect(0, 0, 24, 24).center(), glyph)

    def _draw_marks(self, painter: QPainter, cell: QRect, creation: Creation, *, blank: bool) -> None:
        ratio = painter.device().devicePixelRatioF()
        if creation.star:
            left, top = cell.right() - 19, cell.top() + 4
            painter.drawPixmap(left - 2, top - 2, _make_glyph("star", 20, "#b0000000", ratio))
            painter.drawPixmap(left, top, _make_glyph("star", 16, theme.COLOURS.accent, ratio))
        if creation.missing:
            glyph = "image-broken-variant"
        elif creation.kind is CreationKind.IMAGE or (blank and not creation.title):
            return
        else:
            glyph = _glyph_of(creation)
        plate = QRectF(cell.left() + 4, cell.bottom() - 21, 18, 18)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(20, 20, 20, 190))
        painter.drawRoundedRect(plate, 4, 4)
        painter.drawPixmap(plate.topLeft() + QPointF(3, 3), _make_glyph(glyph, 12, "#e6e6e6", ratio))


def crop_rounded_square(image: QImage, side: int, ratio: float, radius: float) -> QPixmap:
    """Return the centre of an image as a square with round corners; `side` is in logical pixels."""
    pixels = max(1, round(side * ratio))
    square = QPixmap(pixels, pixels)
    square.fill(Qt.GlobalColor.transparent)
    length = min(image.width(), image.height())
    middle = QRectF((image.width() - length) / 2, (image.height() - length) / 2, length, length)
    painter = QPainter(square)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(QRectF(0, 0, pixels, pixels), image, middle)
    # A mask is several times as quick as clipping a smooth picture by a path.
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationIn)
    painter.drawPixmap(0, 0, _make_mask(pixels, radius * ratio))
    painter.end()
    square.setDevicePixelRatio(ratio)
    return square


@cache
def _make_mask(pixels: int, radius: float) -> QPixmap:
    mask = QPixmap(pixels, pixels)
    mask.fill(Qt.GlobalColor.transparent)
    painter = QPainter(mask)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor("black"))
    painter.drawRoundedRect(QRectF(0, 0, pixels, pixels), radius, radius)
    painter.end()
    return mask


def _glyph_of(creation: Creation) -> str:
    return "image-broken-variant" if creation.missing else _GLYPHS.get(creation.kind, "file-outline")


def _draw_ring(painter: QPainter, cell: QRect, colour: str, width: float) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(QColor(colour), width))
    inset = width / 2
    painter.drawRoundedRect(QRectF(cell).adjusted(inset, inset, -inset, -inset), ROUND, ROUND)


@cache
def _make_glyph(name: str, size: int, colour: str, ratio: float) -> QPixmap:
    """Return a cached glyph in any colour, because drawing it from its font is slow."""
    glyph = icons.pixmap(name, size, "text", ratio)
    painter = QPainter(glyph)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceIn)
    painter.fillRect(QRectF(0, 0, size, size), QColor(colour))
    painter.end()
    return glyph
