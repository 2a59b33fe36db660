"""A list view of equal cells, whose positions are computed, for any number of rows.

Qt's icon mode lays out every item again at each insertion and resize. With a hundred thousand items
that takes seconds and loses the scroll position.
"""

from __future__ import annotations

from PySide6.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QPersistentModelIndex, QPoint, QRect, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QRegion, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyleOptionViewItem, QWidget

Index = QModelIndex | QPersistentModelIndex
_Move = QAbstractItemView.CursorAction


class UniformGrid(QListView):
    """A grid of square cells. `cell_width` is approximate; the columns share the width evenly."""

    def __init__(self, cell_width: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cell_width = cell_width
        self._columns = 1
        self._side = cell_width
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # It keeps its room when there is nothing to scroll, so that the columns do not jump.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.verticalScrollBar().setStyleSheet("QScrollBar::handle:disabled { background: transparent; }")

    @property
    def columns(self) -> int:
        return self._columns

    @property
    def side(self) -> int:
        """Width and height of a cell in logical pixels."""
        return self._side

    # Geometry
    def visualRect(self, index: Index) -> QRect:
        if not index.isValid():
            return QRect()
        line, column = divmod(index.row(), self._columns)
        return QRect(column * self._side, line * self._side - self.verticalOffset(), self._side, self._side)

    def indexAt(self, point: QPoint) -> QModelIndex:
        column, line = point.x() // self._side, (point.y() + self.verticalOffset()) // self._side
        row = line * self._columns + column
        if 0 <= column < self._columns and 0 <= row < self._count():
            return self.model().index(row, 0)
        return QModelIndex()

    def verticalOffset(self) -> int:
        return self.verticalScrollBar().value()

    def horizontalOffset(self) -> int:
        return 0

    def scrollTo(self, index: Index, hint: QAbstractItemView.ScrollHint = QListView.ScrollHint.EnsureVisible) -> None:
        if not index.isValid():
            return
        bar, height = self.verticalScrollBar(), self.viewport().height()
        top = index.row() // self._columns * self._side
        if hint == QListView.ScrollHint.PositionAtCenter:
            bar.setValue(top - (height - self._side) // 2)
        elif top < bar.value() or hint == QListView.ScrollHint.PositionAtTop:
            bar.setValue(top)
        elif top + self._side > bar.value() + height:
            bar.setValue(top + self._side - height)

    def rows_in(self, rect: QRect) -> list[tuple[int, int]]:
        """Return the first and last row of each line that a rectangle of the viewport touches."""
        rect = rect.normalized()
        first, last = max(rect.left() // self._side, 0), min(rect.right() // self._side, self._columns - 1)
        if first > last:
            return []
        top, bottom = rect.top() + self.verticalOffset(), rect.bottom() + self.verticalOffset()
        count, rows = self._count(), []
        for line in range(max(top // self._side, 0), bottom // self._side + 1):
            start = line * self._columns + first
            if start >= count:
                break
            rows.append((start, min(line * self._columns + last, count - 1)))
        return rows

    def doItemsLayout(self) -> None:
        self._update_columns()
        self.viewport().update()

    def updateGeometries(self) -> None:
        self._update_columns()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the topmost row at the top."""
        row = self.verticalOffset() // self._side * self._columns
        columns = self._columns
        self._update_columns()
        if columns != self._columns:
            self.verticalScrollBar().setValue(row // self._columns * self._side)

    def _update_columns(self) -> None:
        width, height = max(self.viewport().width(), 1), self.viewport().height()
        self._columns = max(2, round(width / self._cell_width))
        self._side = max(8, width // self._columns)
        lines = -(-self._count() // self._columns)
        bar = self.verticalScrollBar()
        bar.setRange(0, max(0, lines * self._side - height))
        bar.setPageStep(max(height, 1))
        bar.setSingleStep(self._side // 2)
        bar.setEnabled(bar.maximum() > 0)

    def _count(self) -> int:
        return self.model().rowCount() if self.model() is not None else 0

    # Painting
    def scrollContentsBy(self, dx: int, dy: int) -> None:
        self.viewport().update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        option = QStyleOptionViewItem()
        self.initViewItemOption(option)
        plain = option.state & ~(QStyle.StateFlag.State_HasFocus | QStyle.StateFlag.State_MouseOver)
        current = self.currentIndex() if self.hasFocus() else QModelIndex()
        hovered = self.indexAt(self.viewport().mapFromGlobal(self.cursor().pos())) if self.underMouse() else None
        delegate, selection, model = self.itemDelegate(), self.selectionModel(), self.model()
        region = event.region()
        for first, last in self.rows_in(event.rect()):
            for row in range(first, last + 1):
                index = model.index(row, 0)
                option.rect = self.visualRect(index)
                if not region.intersects(option.rect):
                    continue
                state = plain
                if selection.isSelected(index):
                    state |= QStyle.StateFlag.State_Selected
                if index == current:
                    state |= QStyle.StateFlag.State_HasFocus
                if index == hovered:
                    state |= QStyle.StateFlag.State_MouseOver
                option.state = state
                delegate.paint(painter, option, index)

    # Choosing
    def setSelection(self, rect: QRect, command: QItemSelectionModel.SelectionFlag) -> None:
        chosen = QItemSelection()
        for first, last in self.rows_in(rect):
            chosen.select(self.model().index(first, 0), self.model().index(last, 0))
        self.selectionModel().select(chosen, command)

    def visualRegionForSelection(self, selection: QItemSelection) -> QRegion:
        return QRegion(self.viewport().rect())

    def moveCursor(self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier) -> QModelIndex:
        count = self._count()
        if not count:
            return QModelIndex()
        current = self.currentIndex()
        if not current.isValid():
            return self.model().index(0, 0)
        page = max(1, self.viewport().height() // self._side) * self._columns
        row = current.row()
        step = {
            _Move.MoveLeft: -1, _Move.MovePrevious: -1, _Move.MoveRight: 1, _Move.MoveNext: 1,
            _Move.MoveUp: -self._columns, _Move.MoveDown: self._columns, _Move.MovePageUp: -page,
            _Move.MovePageDown: page, _Move.MoveHome: -count, _Move.MoveEnd: count,
        }[action]  # fmt: skip
        moved = row + step
        if action in (_Move.MoveUp, _Move.MoveDown) and not 0 <= moved < count:
            # Down from the last whole line goes to the last cell, and nowhere from the last line.
            below = action == _Move.MoveDown and row // self._columns < (count - 1) // self._columns
            moved = count - 1 if below else row
        return self.model().index(min(max(moved, 0), count - 1), 0)
