"""The grid of thumbnails, with selection, keys and dragging."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QItemSelection, QItemSelectionModel, QModelIndex, QPoint, QRect, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QDrag,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QListView, QWidget

from studio.library.creation import Creation
from studio.state.library.history_model import HistoryModel, Index
from studio.ui.history.delegate import CreationDelegate, crop_rounded_square
from studio.ui.history.drag_mime import CreationMimeData
from studio.ui.history.uniform_grid import UniformGrid
from studio.ui.theme import theme

CELL = 92
"""Approximate width of a cell in logical pixels; the columns share the width evenly."""


class HistoryGrid(UniformGrid):
    opened = Signal(Creation)
    """Emitted for a click or Enter."""
    star_requested = Signal()
    rating_requested = Signal(int)
    trash_requested = Signal()
    rename_requested = Signal()
    copy_requested = Signal()
    menu_requested = Signal(QPoint)
    """Emitted with a global position."""
    chosen = Signal()
    """Emitted when the current creation or the selection has changed."""

    def __init__(self, model: HistoryModel, parent: QWidget | None = None) -> None:
        super().__init__(CELL, parent)
        self._model = model
        self._delegate = CreationDelegate()
        self._ids_before_reset: list[str] = []
        self.empty_text = ""
        """Text of an empty grid."""
        self.setAccessibleName("History")
        self.setSelectionMode(QListView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.setDragEnabled(True)
        self.setMouseTracking(True)
        self.setItemDelegate(self._delegate)
        self.setModel(model)
        model.modelAboutToBeReset.connect(self._keep_selection)
        model.modelReset.connect(self._restore_selection)
        model.rowsRemoved.connect(self._choose_neighbour)

    # What is chosen
    def list_selected_creations(self) -> list[Creation]:
        """Return the selected creations in the order of the grid, without those that are not loaded yet."""
        rows = sorted(index.row() for index in self.selectionModel().selectedIndexes())
        creations = (self._model.creation(row) for row in rows)
        return [creation for creation in creations if creation is not None]

    def list_selected_ids(self) -> list[str]:
        rows = sorted(index.row() for index in self.selectionModel().selectedIndexes())
        return [self._model.id_at(row) for row in rows]

    def current_creation(self) -> Creation | None:
        index = self.currentIndex()
        return self._model.creation(index.row()) if index.isValid() else None

    def select_creation(self, creation: str) -> bool:
        """Select a creation and scroll to it. Return False if it is not in the list."""
        row = self._model.row_of(creation)
        if row < 0:
            return False
        index = self._model.index(row)
        self.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self.scrollTo(index)
        return True

    def selectionChanged(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        super().selectionChanged(selected, deselected)
        self.chosen.emit()

    def currentChanged(self, current: Index, previous: Index) -> None:
        super().currentChanged(current, previous)
        self.chosen.emit()

    def _keep_selection(self) -> None:
        self._ids_before_reset = self.list_selected_ids()[:1000]

    def _restore_selection(self) -> None:
        """Restore the selection after a search, as far as it is among the first results."""
        rows = [row for id in self._ids_before_reset if (row := self._model.row_of(id)) >= 0]
        for row in rows:
            self.selectionModel().select(self._model.index(row), QItemSelectionModel.SelectionFlag.Select)
        if rows:
            self.selectionModel().setCurrentIndex(
                self._model.index(rows[0]), QItemSelectionModel.SelectionFlag.NoUpdate
            )
        self.chosen.emit()

    def _choose_neighbour(self, parent: QModelIndex, first: int, last: int) -> None:
        """Select the next creation after a deletion, so that Delete can be pressed again."""
        if self.hasFocus() and not self.selectionModel().hasSelection() and self._model.rowCount():
            row = min(first, self._model.rowCount() - 1)
            self.selectionModel().setCurrentIndex(
                self._model.index(row), QItemSelectionModel.SelectionFlag.ClearAndSelect
            )

    # Looks
    def doItemsLayout(self) -> None:
        super().doItemsLayout()
        self._model.set_thumbnail_side(round(self.side * self.devicePixelRatioF()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._model.set_thumbnail_side(round(self.side * self.devicePixelRatioF()))

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self.empty_text and not self._model.rowCount():
            painter = QPainter(self.viewport())
            painter.setPen(self.palette().placeholderText().color())
            painter.setFont(theme.font())
            area = self.viewport().rect().adjusted(16, 0, -16, 0)
            painter.drawText(area, int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap), self.empty_text)

    # Keys and mouse
    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and self._is_grid_key(event):
            event.accept()
            return True
        return super().event(event)

    def _is_grid_key(self, event: QKeyEvent) -> bool:
        plain = event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)
        return plain and (event.text() == "." or event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if plain and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if (creation := self.current_creation()) is not None:
                self.opened.emit(creation)
        elif plain and key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.trash_requested.emit()
        elif plain and event.text() == ".":
            self.star_requested.emit()
        elif plain and event.text() in ("0", "1", "2", "3", "4", "5"):
            self.rating_requested.emit(int(event.text()))
        elif plain and key == Qt.Key.Key_F2:
            self.rename_requested.emit()
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy_requested.emit()
        else:
            super().keyPressEvent(event)

    def keyboardSearch(self, search: str) -> None:
        """Do nothing: letters are shortcuts of the window."""

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        dragged = self.state() != QListView.State.NoState
        super().mouseReleaseEvent(event)
        index = self.indexAt(event.position().toPoint())
        if dragged or event.button() != Qt.MouseButton.LeftButton or event.modifiers() or not index.isValid():
            return
        if index == self.currentIndex() and (creation := self.current_creation()) is not None:
            self.opened.emit(creation)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if event.reason() == QContextMenuEvent.Reason.Keyboard and self.currentIndex().isValid():
            at = self.viewport().mapToGlobal(self.visualRect(self.currentIndex()).center())
        else:
            at = event.globalPos()
        if self.selectionModel().hasSelection():
            self.menu_requested.emit(at)

    def startDrag(self, actions: Qt.DropAction) -> None:
        creations = [creation for creation in self.list_selected_creations() if not creation.missing]
        if not creations:
            return
        drag = QDrag(self)
        drag.setMimeData(CreationMimeData(creations))
        image = self._model.get_thumbnail(creations[0].id)
        if image is not None and not image.isNull():
            drag.setPixmap(crop_rounded_square(image, 72, self.devicePixelRatioF(), 4.0))
            drag.setHotSpot(QRect(0, 0, 72, 72).center())
        drag.exec(Qt.DropAction.CopyAction)
