"""The list behind every field for many pictures, files, folders or models."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from PySide6.QtCore import QEvent, QMimeData, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QGuiApplication,
    QIcon,
    QImage,
    QKeyEvent,
    QKeySequence,
    QPainter,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from studio.ui.theme import theme
from studio.ui.widgets import labels, mime_data

ROW = 52
GAP = 8


class Role:
    """What an item holds besides its name and icon."""

    VALUE = int(Qt.ItemDataRole.UserRole)
    CAPTION = VALUE + 1
    WRONG = VALUE + 2


class ListContent(Enum):
    PICTURES = "pictures"
    FILES = "files"
    FOLDERS = "folders"
    MODELS = "models"

    @property
    def icon_size(self) -> QSize:
        return QSize(56, 42) if self is ListContent.PICTURES else QSize(20, 20)


class PathList(QListWidget):
    """Drag or Alt+↑ and Alt+↓ put the rows in order, Delete takes one out."""

    given = Signal(list)
    """Paths, as `list[str]`."""
    pasted = Signal(QImage)
    reordered = Signal()
    removed = Signal()

    def __init__(self, holds: ListContent) -> None:
        super().__init__()
        self._holds = holds
        self.setProperty("role", "card")
        self.setAcceptDrops(True)
        self.setDragEnabled(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragDrop)
        self.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setIconSize(holds.icon_size)
        self.setItemDelegate(_TwoLines(self))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setUniformItemSizes(True)
        self.setSpacing(0)

    def values(self) -> list[str]:
        return [str(self.item(row).data(Role.VALUE)) for row in range(self.count())]

    def put(self, value: str, text: str, caption: str, icon: QIcon) -> None:
        item = QListWidgetItem(icon, text)
        item.setData(Role.VALUE, value)
        item.setData(Role.CAPTION, caption)
        item.setData(Qt.ItemDataRole.AccessibleDescriptionRole, caption)
        item.setToolTip(labels.make_tool_tip(value))
        item.setSizeHint(QSize(10, ROW))
        item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsDropEnabled)
        self.addItem(item)

    def items_of(self, value: str) -> list[QListWidgetItem]:
        found = (self.item(row) for row in range(self.count()))
        return [item for item in found if item.data(Role.VALUE) == value]

    # Ways in
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.source() is self:
            event.acceptProposedAction()
        elif self._wanted(event.mimeData()):
            event.acceptProposedAction()
            labels.set_flag(self, "hovered", True)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        if event.source() is self:
            super().dragMoveEvent(event)
        elif self._wanted(event.mimeData()):
            event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        super().dragLeaveEvent(event)
        labels.set_flag(self, "hovered", False)

    def dropEvent(self, event: QDropEvent) -> None:
        labels.set_flag(self, "hovered", False)
        if event.source() is self:
            super().dropEvent(event)
            self.reordered.emit()
        elif self._take(event.mimeData()):
            event.acceptProposedAction()

    def event(self, event: QEvent) -> bool:
        return mime_data.claims_paste(event) or super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        alt = event.modifiers() & Qt.KeyboardModifier.AltModifier
        if event.matches(QKeySequence.StandardKey.Paste):
            self._take(QGuiApplication.clipboard().mimeData())
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and self.selectedItems():
            self.removed.emit()
        elif alt and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self._shift(-1 if event.key() == Qt.Key.Key_Up else 1)
        else:
            super().keyPressEvent(event)

    def _shift(self, by: int) -> None:
        row, to = self.currentRow(), self.currentRow() + by
        if row >= 0 and 0 <= to < self.count():
            self.insertItem(to, self.takeItem(row))
            self.setCurrentRow(to)
            self.reordered.emit()

    def _wanted(self, data: QMimeData) -> bool:
        return bool(_FOUND[self._holds](data)) or (self._holds is ListContent.PICTURES and data.hasImage())

    def _take(self, data: QMimeData) -> bool:
        if found := _FOUND[self._holds](data):
            self.given.emit(found)
            return True
        if self._holds is ListContent.PICTURES and (image := mime_data.read_image(data)) is not None:
            self.pasted.emit(image)
            return True
        return False


_FOUND: dict[ListContent, Callable[[QMimeData], list[str]]] = {
    ListContent.PICTURES: lambda data: [str(path) for path in mime_data.list_pictures(data)],
    ListContent.FILES: lambda data: [str(path) for path in mime_data.list_files(data) if not path.is_dir()],
    ListContent.FOLDERS: lambda data: [str(path) for path in mime_data.list_files(data) if path.is_dir()],
    ListContent.MODELS: lambda data: [str(path) for path in mime_data.list_files(data)],
}


class _TwoLines(QStyledItemDelegate):
    """A name, and below it a caption that is dim, or says what is wrong."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        shown = QStyleOptionViewItem(option)
        self.initStyleOption(shown, index)
        text, icon = str(shown.text), QIcon(shown.icon)
        shown.text, shown.icon = "", QIcon()
        widget: QWidget = shown.widget
        widget.style().drawControl(QStyle.ControlElement.CE_ItemViewItem, shown, painter, widget)
        area: QRect = shown.rect
        size: QSize = shown.decorationSize
        place = QRect(area.left() + GAP - 4, area.center().y() - size.height() // 2, size.width(), size.height())
        icon.paint(painter, place)
        left = place.right() + GAP
        lines = QRect(left, area.top() + 8, area.right() - left - 4, ROW - 16)
        caption, wrong = str(index.data(Role.CAPTION) or ""), bool(index.data(Role.WRONG))
        colours = theme.COLOURS
        upper = Qt.AlignmentFlag.AlignTop if caption else Qt.AlignmentFlag.AlignVCenter
        middle = Qt.TextElideMode.ElideMiddle
        _line(painter, lines, text, theme.font(), colours.text, upper, middle)
        elide = Qt.TextElideMode.ElideRight if wrong else middle
        _line(
            painter, lines, caption, theme.font(theme.CAPTION), colours.danger if wrong else colours.dim,
            Qt.AlignmentFlag.AlignBottom, elide,
        )  # fmt: skip


def _line(
    painter: QPainter,
    room: QRect,
    text: str,
    font: object,
    colour: str,
    edge: Qt.AlignmentFlag,
    elide: Qt.TextElideMode,
) -> None:
    painter.setFont(font)  # type: ignore[arg-type]
    painter.setPen(QColor(colour))
    fitting = painter.fontMetrics().elidedText(text, elide, room.width())
    painter.drawText(room, int(edge | Qt.AlignmentFlag.AlignLeft), fitting)
