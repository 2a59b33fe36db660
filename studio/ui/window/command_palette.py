"""The palette: every command with its key, found by a few letters."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QPoint, QSize, QSortFilterProxyModel, Qt
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QFrame,
    QLineEdit,
    QListView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from studio.ui.theme import theme
from studio.ui.widgets import labels
from studio.ui.window.commands import Commands

_ACTION = Qt.ItemDataRole.UserRole
_KEY = Qt.ItemDataRole.UserRole + 1


class _Matches(QSortFilterProxyModel):
    """All words that were typed occur in the title, in any order."""

    typed: tuple[str, ...] = ()

    def filterAcceptsRow(self, row: int, parent: QModelIndex | QPersistentModelIndex) -> bool:
        title = str(self.sourceModel().index(row, 0, parent).data()).lower()
        return all(word in title for word in self.typed)


ROW = 28


class _WithKey(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(super().sizeHint(option, index).width(), ROW)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        super().paint(painter, option, index)
        painter.save()
        painter.setPen(QColor(theme.COLOURS.dim))
        room = option.rect.adjusted(0, 0, -12, 0)
        painter.drawText(room, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, str(index.data(_KEY)))
        painter.restore()


class CommandPalette(QFrame):
    """Type a few letters, press Enter."""

    def __init__(self, commands: Commands, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self._commands = commands
        self.setProperty("role", "popup")
        self.setAccessibleName("Commands")
        self.setFixedWidth(520)
        self.line = QLineEdit()
        self.line.setPlaceholderText("Search commands")
        labels.describe(self.line, "Search commands")
        self.list = QListView()
        self.list.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.list.setUniformItemSizes(True)
        self.list.setProperty("role", "commands")
        labels.describe(self.list, "Commands")
        self._model = QStandardItemModel(self)
        self._matches = _Matches(self)
        self._matches.setSourceModel(self._model)
        self.list.setModel(self._matches)
        self.list.setItemDelegate(_WithKey(self.list))
        self._nothing = labels.make_label("No command has these words.", "dim")
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(8)
        column.addWidget(self.line)
        column.addWidget(self.list)
        column.addWidget(self._nothing)
        self.line.textChanged.connect(self._filter)
        self.line.installEventFilter(self)
        self.list.activated.connect(self._run)
        self.list.clicked.connect(self._run)

    def open_at(self, point: QPoint) -> None:
        self._model.clear()
        for entry in self._commands.entries():
            item = QStandardItem(entry.title)
            item.setData(entry.run, _ACTION)
            item.setData(entry.key, _KEY)
            spoken = f"{entry.title}, {entry.key}" if entry.key else entry.title
            item.setData(spoken, Qt.ItemDataRole.AccessibleTextRole)
            self._model.appendRow(item)
        self.line.clear()
        self._filter("")
        self.move(point)
        self.show()
        self.line.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.line and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
                self._step(-1 if event.key() == Qt.Key.Key_Up else 1)
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._run(self.list.currentIndex())
                return True
        return super().eventFilter(watched, event)

    def _filter(self, text: str) -> None:
        self._matches.typed = tuple(text.lower().split())
        self._matches.invalidate()
        rows = self._matches.rowCount()
        self.list.setCurrentIndex(self._matches.index(0, 0))
        self.list.setVisible(rows > 0)
        self._nothing.setVisible(rows == 0)
        self.list.setFixedHeight(min(max(rows, 1), 12) * ROW + 4)
        self.adjustSize()

    def _step(self, by: int) -> None:
        rows = self._matches.rowCount()
        if rows:
            self.list.setCurrentIndex(self._matches.index((self.list.currentIndex().row() + by) % rows, 0))

    def _run(self, index: QModelIndex) -> None:
        run = index.data(_ACTION)
        self.hide()
        if run is not None:
            run()
