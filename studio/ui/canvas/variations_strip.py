"""The strip of variations below the canvas: view, keep or discard them."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPainterPath, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QHBoxLayout, QPushButton, QScrollArea, QWidget

from studio.library.creation import Creation, CreationKind
from studio.state.jobs.variations import Variations
from studio.state.library.history_model import HistoryModel
from studio.ui.theme import icons, theme
from studio.ui.widgets import labels

HEIGHT = 112
TILE = QSize(108, 80)
_ICONS = {
    CreationKind.IMAGE: "image-outline",
    CreationKind.ANIMATION: "movie-open-outline",
    CreationKind.TEXT: "text-long",
    CreationKind.MODEL: "cube-outline",
}


class VariationTile(QAbstractButton):
    def __init__(self, creation: Creation, number: int) -> None:
        super().__init__()
        self.creation = creation
        self.kept = False
        self._pixmap = QPixmap()
        self.setCheckable(True)
        self.setFixedSize(TILE)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        labels.describe(self, f"Variation {number}", creation.title or Path(creation.path).name)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Handle Space; leave all other keys to the strip."""
        if event.key() == Qt.Key.Key_Space:
            super().keyPressEvent(event)
        else:
            event.ignore()

    def set_image(self, pixmap: QPixmap) -> None:
        self._pixmap = pixmap
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme.COLOURS
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        frame = QRectF(self.rect()).adjusted(2, 2, -2, -2)
        shape = QPainterPath()
        shape.addRoundedRect(frame, 4, 4)
        painter.save()
        painter.setClipPath(shape)
        painter.fillRect(frame, QColor(colours.raised))
        if self._pixmap.isNull() or self.creation.kind is CreationKind.TEXT:
            self._paint_title(painter, frame)
        else:
            size = self._pixmap.size().scaled(frame.size().toSize(), Qt.AspectRatioMode.KeepAspectRatioByExpanding)
            target = QRectF(0, 0, size.width(), size.height())
            target.moveCenter(frame.center())
            painter.drawPixmap(target, self._pixmap, QRectF(self._pixmap.rect()))
        painter.restore()
        if self.isChecked() or self.hasFocus():
            painter.setPen(QPen(QColor(colours.accent if self.isChecked() else colours.dim), 2))
            painter.drawRoundedRect(frame.adjusted(-1, -1, 1, 1), 5, 5)
        if self.kept:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.window))
            painter.drawEllipse(self.width() - 26, 6, 20, 20)
            tick = icons.pixmap("check", 14, "accent", self.devicePixelRatioF())
            painter.drawPixmap(self.width() - 23, 9, tick)

    def _paint_title(self, painter: QPainter, frame: QRectF) -> None:
        icon = icons.pixmap(_ICONS[self.creation.kind], 20, "dim", self.devicePixelRatioF())
        painter.drawPixmap(int(frame.center().x()) - 10, int(frame.top()) + 14, icon)
        painter.setPen(QColor(theme.COLOURS.dim))
        painter.setFont(theme.font(theme.CAPTION))
        text_rect = frame.adjusted(6, 40, -6, -6)
        flags = int(Qt.AlignmentFlag.AlignHCenter) | int(Qt.TextFlag.TextWordWrap)
        painter.drawText(text_rect, flags, self.creation.title[:60])


class StripScrollArea(QScrollArea):
    """A scroll area that leaves the arrow keys to the strip."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        event.ignore()


class VariationsStrip(QWidget):
    """Tiles of variations. ← and → move between them, ⏎ keeps and ⌫ discards one."""

    discard = Signal(object)

    def __init__(self, variations: Variations, history: HistoryModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._variations, self._history = variations, history
        self.setProperty("role", "bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(HEIGHT)
        self._tiles: dict[str, VariationTile] = {}
        self._group = QButtonGroup(self)
        inner = QWidget()
        self._row = QHBoxLayout(inner)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(8)
        self._row.addStretch(1)
        scroll = StripScrollArea()
        scroll.setWidget(inner)
        scroll.setWidgetResizable(True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll = scroll
        self.discard_button = QPushButton("Discard ⌫")
        labels.describe(self.discard_button, "Discard", "Move this variation to the trash (Backspace)")
        self.keep_button = QPushButton("Keep ⏎")
        labels.describe(self.keep_button, "Keep", "Keep this variation and show the next (Enter)")
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 0, 16, 0)
        row.setSpacing(8)
        row.addWidget(scroll, 1)
        row.addWidget(self.discard_button)
        row.addWidget(self.keep_button)
        self.discard_button.clicked.connect(self.discard_chosen)
        self.keep_button.clicked.connect(variations.keep)
        variations.changed.connect(self._refresh)
        history.thumbnail_ready.connect(self._thumbnail_ready)
        self._refresh()

    def tiles(self) -> list[VariationTile]:
        return list(self._tiles.values())

    def discard_chosen(self) -> None:
        if (chosen := self._variations.chosen) is not None:
            self.discard.emit(chosen)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match event.key():
            case Qt.Key.Key_Left | Qt.Key.Key_Right:
                self._variations.step(-1 if event.key() == Qt.Key.Key_Left else 1)
                self._focus_chosen()
            case Qt.Key.Key_Return | Qt.Key.Key_Enter if not event.modifiers():
                self._variations.keep()
            case Qt.Key.Key_Backspace | Qt.Key.Key_Delete:
                self.discard_chosen()
            case _:
                super().keyPressEvent(event)

    def _focus_chosen(self) -> None:
        chosen = self._variations.chosen
        if chosen is not None and (tile := self._tiles.get(chosen.id)) is not None:
            tile.setFocus()

    def _refresh(self) -> None:
        items = list(self._variations.items)
        wanted_ids = {item.id for item in items}
        for id in [id for id in self._tiles if id not in wanted_ids]:
            tile = self._tiles.pop(id)
            self._group.removeButton(tile)
            self._row.removeWidget(tile)
            tile.hide()
            tile.deleteLater()
        for place, item in enumerate(items):
            tile = self._tiles.get(item.id) or self._add(item, place)
            tile.kept = self._variations.is_kept(item)
            tile.setChecked(item is self._variations.chosen)
            tile.update()
            if tile.isChecked():
                self._scroll.ensureWidgetVisible(tile)
        self.setVisible(bool(items))

    def _add(self, item: Creation, place: int) -> VariationTile:
        tile = VariationTile(item, place + 1)
        tile.clicked.connect(lambda: self._choose(item))
        self._tiles[item.id] = tile
        self._group.addButton(tile)
        self._row.insertWidget(place, tile)
        self._show_thumbnail(tile)
        return tile

    def _choose(self, item: Creation) -> None:
        ids = [known.id for known in self._variations.items]
        if item.id in ids:
            self._variations.choose(ids.index(item.id))

    def _show_thumbnail(self, tile: VariationTile) -> None:
        image = self._history.get_thumbnail(tile.creation.id)
        if image is not None and not image.isNull():
            tile.set_image(QPixmap.fromImage(image))

    def _thumbnail_ready(self, id: str, _row: int) -> None:
        if (tile := self._tiles.get(id)) is not None:
            self._show_thumbnail(tile)
