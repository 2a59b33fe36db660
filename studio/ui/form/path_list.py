"""The list widget of the editors for several pictures, files, folders or models."""

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
    QFont,
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

ROW_HEIGHT = 52
GAP = 8


class Role:
    """Data roles of an item, besides its name and icon."""

    VALUE = int(Qt.ItemDataRole.UserRole)
    CAPTION = VALUE + 1
    IS_ERROR = VALUE + 2


class ListContent(Enum):
    IMAGES = "images"
    FILES = "files"
    FOLDERS = "folders"
    MODELS = "models"

    @property
    def icon_size(self) -> QSize:
        return QSize(56, 42) if self is ListContent.IMAGES else QSize(20, 20)


class PathList(QListWidget):
    """A list of paths. Dragging or Alt+↑ and Alt+↓ reorder the rows, Delete removes them."""

    paths_added = Signal(list)
    """Emitted with dropped or pasted paths, as `list[str]`."""
    image_pasted = Signal(QImage)
    reordered = Signal()
    removed = Signal()

    def __init__(self, content: ListContent) -> None:
        super().__init__()
        self._content = content
        self.setProperty("role", "card")
        self.setAcceptDrops(True)
        self.setDragEnabled(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragDrop)
        self.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setIconSize(content.icon_size)
        self.setItemDelegate(_TwoLineDelegate(self))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setUniformItemSizes(True)
        self.setSpacing(0)

    def values(self) -> list[str]:
        return [str(self.item(row).data(Role.VALUE)) for row in range(self.count())]

    def add_row(self, value: str, text: str, caption: str, icon: QIcon) -> None:
        item = QListWidgetItem(icon, text)
        item.setData(Role.VALUE, value)
        item.setData(Role.CAPTION, caption)
        item.setData(Qt.ItemDataRole.AccessibleDescriptionRole, caption)
        item.setToolTip(labels.make_tool_tip(value))
        item.setSizeHint(QSize(10, ROW_HEIGHT))
        item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsDropEnabled)
        self.addItem(item)

    def items_of(self, value: str) -> list[QListWidgetItem]:
        items = (self.item(row) for row in range(self.count()))
        return [item for item in items if item.data(Role.VALUE) == value]

    # Ways in
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.source() is self:
            event.acceptProposedAction()
        elif self._accepts(event.mimeData()):
            event.acceptProposedAction()
            labels.set_flag(self, "hovered", True)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        if event.source() is self:
            super().dragMoveEvent(event)
        elif self._accepts(event.mimeData()):
            event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        super().dragLeaveEvent(event)
        labels.set_flag(self, "hovered", False)

    def dropEvent(self, event: QDropEvent) -> None:
        labels.set_flag(self, "hovered", False)
        if event.source() is self:
            super().dropEvent(event)
            self.reordered.emit()
        elif self._accept_data(event.mimeData()):
            event.acceptProposedAction()

    def event(self, event: QEvent) -> bool:
        return mime_data.claims_paste(event) or super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        alt = event.modifiers() & Qt.KeyboardModifier.AltModifier
        if event.matches(QKeySequence.StandardKey.Paste):
            self._accept_data(QGuiApplication.clipboard().mimeData())
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and self.selectedItems():
            self.removed.emit()
        elif alt and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self._move_row(-1 if event.key() == Qt.Key.Key_Up else 1)
        else:
            super().keyPressEvent(event)

    def _move_row(self, by: int) -> None:
        row, to = self.currentRow(), self.currentRow() + by
        if row >= 0 and 0 <= to < self.count():
            self.insertItem(to, self.takeItem(row))
            self.setCurrentRow(to)
            self.reordered.emit()

    def _accepts(self, data: QMimeData) -> bool:
        return bool(_READERS[self._content](data)) or (self._content is ListContent.IMAGES and data.hasImage())

    def _accept_data(self, data: QMimeData) -> bool:
        if paths := _READERS[self._content](data):
            self.paths_added.emit(paths)
            return True
        if self._content is ListContent.IMAGES and (image := mime_data.read_image(data)) is not None:
            self.image_pasted.emit(image)
            return True
        return False


_READERS: dict[ListContent, Callable[[QMimeData], list[str]]] = {
    ListContent.IMAGES: lambda data: [str(path) for path in mime_data.list_pictures(data)],
    ListContent.FILES: lambda data: [str(path) for path in mime_data.list_files(data) if not path.is_dir()],
    ListContent.FOLDERS: lambda data: [str(path) for path in mime_data.list_files(data) if path.is_dir()],
    ListContent.MODELS: lambda data: [str(path) for path in mime_data.list_files(data)],
}


class _TwoLineDelegate(QStyledItemDelegate):
    """Paint a name, and below it a dim caption or an error."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        view_option = QStyleOptionViewItem(option)
        self.initStyleOption(view_option, index)
        text, icon = str(view_option.text), QIcon(view_option.icon)
        view_option.text, view_option.icon = "", QIcon()
        widget: QWidget = view_option.widget
        widget.style().drawControl(QStyle.ControlElement.CE_ItemViewItem, view_option, painter, widget)
        area: QRect = view_option.rect
        size: QSize = view_option.decorationSize
        place = QRect(area.left() + GAP - 4, area.center().y() - size.height() // 2, size.width(), size.height())
        icon.paint(painter, place)
        left = place.right() + GAP
        lines = QRect(left, area.top() + 8, area.right() - left - 4, ROW_HEIGHT - 16)
        caption, is_error = str(index.data(Role.CAPTION) or ""), bool(index.data(Role.IS_ERROR))
        colours = theme.COLOURS
        upper = Qt.AlignmentFlag.AlignTop if caption else Qt.AlignmentFlag.AlignVCenter
        middle = Qt.TextElideMode.ElideMiddle
        _draw_line(painter, lines, text, theme.font(), colours.text, upper, middle)
        elide = Qt.TextElideMode.ElideRight if is_error else middle
        _draw_line(
            painter, lines, caption, theme.font(theme.CAPTION), colours.danger if is_error else colours.dim,
            Qt.AlignmentFlag.AlignBottom, elide,
        )  # fmt: skip


def _draw_line(
    painter: QPainter,
    rect: QRect,
    text: str,
    font: QFont,
    colour: str,
    edge: Qt.AlignmentFlag,
    elide: Qt.TextElideMode,
) -> None:
    painter.setFont(font)
    painter.setPen(QColor(colour))
    elided = painter.fontMetrics().elidedText(text, elide, rect.width())
    painter.drawText(rect, int(edge | Qt.AlignmentFlag.AlignLeft), elided)
