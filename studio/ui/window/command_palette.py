"""The command palette: search commands and tools by a few letters."""

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


class _CommandFilter(QSortFilterProxyModel):
    """Accept titles that contain all typed words, in any order."""

    words: tuple[str, ...] = ()

    def filterAcceptsRow(self, row: int, parent: QModelIndex | QPersistentModelIndex) -> bool:
        title = str(self.sourceModel().index(row, 0, parent).data()).lower()
        return all(word in title for word in self.words)


ROW = 28


class _CommandDelegate(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(super().sizeHint(option, index).width(), ROW)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        super().paint(painter, option, index)
        painter.save()
        painter.setPen(QColor(theme.COLOURS.dim))
        text_rect = option.rect.adjusted(0, 0, -12, 0)
        painter.drawText(text_rect, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, str(index.data(_KEY)))
        painter.restore()


class CommandPalette(QFrame):
    """A popup with a search field and a list of commands."""

    def __init__(self, commands: Commands, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self._commands = commands
        self.setProperty("role", "popup")
        self.setAccessibleName("Commands")
        self.setFixedWidth(520)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search commands")
        labels.describe(self.search, "Search commands")
        self.list = QListView()
        self.list.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.list.setUniformItemSizes(True)
        self.list.setProperty("role", "commands")
        labels.describe(self.list, "Commands")
        self._model = QStandardItemModel(self)
        self._matches = _CommandFilter(self)
        self._matches.setSourceModel(self._model)
        self.list.setModel(self._matches)
        self.list.setItemDelegate(_CommandDelegate(self.list))
        self._no_match = labels.make_label("No command matches.", "dim")
        self._no_match.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(8)
        column.addWidget(self.search)
        column.addWidget(self.list)
        column.addWidget(self._no_match)
        self.search.textChanged.connect(self._filter)
        self.search.installEventFilter(self)
        self.list.activated.connect(self._run)
        self.list.clicked.connect(self._run)

    def open_at(self, point: QPoint) -> None:
        self._model.clear()
        for entry in self._commands.entries():
            item = QStandardItem(entry.title)
            item.setData(entry.run, _ACTION)
            item.setData(entry.key, _KEY)
            accessible_text = f"{entry.title}, {entry.key}" if entry.key else entry.title
            item.setData(accessible_text, Qt.ItemDataRole.AccessibleTextRole)
            self._model.appendRow(item)
        self.search.clear()
        self._filter("")
        self.move(point)
        self.show()
        self.search.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.search and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
                self._step(-1 if event.key() == Qt.Key.Key_Up else 1)
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._run(self.list.currentIndex())
                return True
        return super().eventFilter(watched, event)

    def _filter(self, text: str) -> None:
        self._matches.words = tuple(text.lower().split())
        self._matches.invalidate()
        rows = self._matches.rowCount()
        self.list.setCurrentIndex(self._matches.index(0, 0))
        self.list.setVisible(rows > 0)
        self._no_match.setVisible(rows == 0)
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
