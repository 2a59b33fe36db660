"""A popup list of words with their probabilities, next to the words on the page."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QFrame,
    QListWidget,
    QListWidgetItem,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from studio.ui.theme import theme
from studio.ui.widgets import labels

WIDTH, ROW = 232, 30
MAX_ROWS = 10
"""Largest number of visible rows."""
GAP = 4
_PROBABILITY = Qt.ItemDataRole.UserRole
_WORD = Qt.ItemDataRole.UserRole + 1


class SuggestionList(QFrame):
    """A popup that is a child of the page, so that typing continues. With the focus, arrow keys and Enter work."""

    chosen = Signal(str)
    stepped = Signal(int)
    """Emitted for the Left (-1) and Right (1) keys."""
    escaped = Signal()
    """Emitted when Escape is pressed."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.page = parent
        self.setProperty("role", "popup")
        self.setAccessibleName("Suggested words")
        self.setFixedWidth(WIDTH)
        self.title = labels.make_label("", "caption")
        self.list = QListWidget()
        self.list.setItemDelegate(_Row(self.list))
        self.list.setUniformItemSizes(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setMouseTracking(True)
        self.list.setStyleSheet("QListWidget { background: transparent; border: none; }")
        labels.describe(self.list, "Suggested words")
        self.list.setToolTip("")
        self.hint = labels.make_label("", "caption")
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(GAP)
        column.addWidget(self.title)
        column.addWidget(self.list)
        column.addWidget(self.hint)
        self.list.itemClicked.connect(self._choose)
        self.list.itemEntered.connect(self.list.setCurrentItem)
        self.hide()

    def set_words(self, title: str, words: Sequence[tuple[str, str, float]], chosen: str, hint: str) -> None:
        """Fill the list with (word, displayed word, probability); `chosen` is the word on the page."""
        self.title.setText(self.title.fontMetrics().elidedText(title, Qt.TextElideMode.ElideRight, WIDTH - 16))
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))
        self.list.clear()
        for word, shown, probability in words:
            item = QListWidgetItem(shown)
            item.setData(_WORD, word)
            item.setData(_PROBABILITY, probability)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{shown}, {format_percent(probability)}")
            self.list.addItem(item)
            if word == chosen:
                self.list.setCurrentItem(item)
        if self.list.currentRow() < 0:
            self.list.setCurrentRow(0)
        rows = min(len(words), MAX_ROWS)
        self.list.setVisible(rows > 0)
        self.list.setFixedHeight(rows * ROW + 2)

    def open_at(self, place: QRect) -> None:
        """Show the list below a rectangle of the parent, or above it if there is no space below."""
        parent = self.page
        self.adjustSize()
        x = max(GAP, min(place.left() - 12, parent.width() - self.width() - GAP))
        below = place.bottom() + GAP
        above = place.top() - GAP - self.height()
        self.move(x, below if below + self.height() <= parent.height() or above < 0 else above)
        self.show()
        self.raise_()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match event.key():
            case Qt.Key.Key_Return | Qt.Key.Key_Enter:
                if (item := self.list.currentItem()) is not None:
                    self._choose(item)
            case Qt.Key.Key_Escape:
                self.escaped.emit()
            case Qt.Key.Key_Left | Qt.Key.Key_Right:
                self.stepped.emit(-1 if event.key() == Qt.Key.Key_Left else 1)
            case _:
                super().keyPressEvent(event)

    def _choose(self, item: QListWidgetItem) -> None:
        self.chosen.emit(item.data(_WORD))


class _Row(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(80, ROW)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        colours, probability = theme.COLOURS, float(index.data(_PROBABILITY))
        view = option.widget
        current = isinstance(view, QListWidget) and view.currentIndex() == index
        row = QRectF(option.rect).adjusted(0, 1, 0, -1)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        if current:
            painter.setBrush(QColor(colours.chosen))
            painter.drawRoundedRect(row, 4, 4)
        bar = QRectF(row.left() + 8, row.bottom() - 4, row.width() - 16, 2)
        painter.setBrush(QColor(colours.groove))
        painter.drawRoundedRect(bar, 1, 1)
        painter.setBrush(QColor(colours.machine))
        painter.drawRoundedRect(QRectF(bar.left(), bar.top(), max(2.0, bar.width() * min(1.0, probability)), 2), 1, 1)
        text = row.adjusted(8, 0, -8, -3)
        painter.setFont(theme.font())
        painter.setPen(QColor(colours.dim))
        percent = format_percent(probability)
        painter.drawText(text, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), percent)
        text.setWidth(text.width() - painter.fontMetrics().horizontalAdvance(percent) - 8)
        painter.setPen(QColor(colours.text))
        shown = painter.fontMetrics().elidedText(str(index.data()), Qt.TextElideMode.ElideRight, int(text.width()))
        painter.drawText(text, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), shown)
        painter.restore()


def format_percent(probability: float) -> str:
    return f"{probability:.0%}" if probability >= 0.095 else f"{probability:.1%}" if probability >= 0.0005 else "<0.1%"


def show_invisible(word: str) -> str:
    """Return a word with visible signs for spaces and line breaks."""
    return word.replace("\n", "↵").strip() or "space"
