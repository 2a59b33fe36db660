"""The panel of all versions of a page, which can be searched and opened."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QListWidget, QListWidgetItem, QToolButton, QVBoxLayout, QWidget

from studio.core.page.edits import Author
from studio.state.page.page import Page
from studio.ui.theme import icons
from studio.ui.widgets import labels

MAX_LISTED = 300
"""Largest number of listed versions; a search finds the others."""
SNIPPET = 90


class RevisionsPanel(QWidget):
    """A panel beside the page. Enter or a click opens a version."""

    closed = Signal()

    def __init__(self, page: Page, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._page = page
        self.setProperty("role", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedWidth(264)
        self.field = QLineEdit(clearButtonEnabled=True)
        self.field.setPlaceholderText("Search all versions")
        labels.describe(self.field, "Search all versions", "Includes text that is no longer on the page")
        self.list = QListWidget()
        self.list.setWordWrap(True)
        self.list.setSpacing(2)
        self.list.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        labels.describe(self.list, "Versions")
        self.list.setToolTip("")
        self.empty = labels.make_label("", "dim", wrap=True)
        close = QToolButton()
        close.setProperty("role", "ghost")
        close.setIcon(icons.icon("close", "text"))
        labels.describe(close, "Close versions", "Close")
        close.clicked.connect(self.closed)
        head = QHBoxLayout()
        head.addWidget(labels.make_label("Versions", "heading"))
        head.addStretch(1)
        head.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 12, 12)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(self.field)
        column.addWidget(self.empty)
        column.addWidget(self.list, 1)
        self._timer = QTimer(self, interval=200, singleShot=True)
        self._timer.timeout.connect(self._fill)
        self.field.textChanged.connect(lambda _: self._timer.start())
        self.list.itemActivated.connect(self._open_version)
        self.list.itemClicked.connect(self._open_version)
        page.changed.connect(self._refresh_later)
        page.opened.connect(self._refresh_later)

    def open(self) -> None:
        self.show()
        self._fill()
        self.field.setFocus()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        else:
            super().keyPressEvent(event)

    def hideEvent(self, event: object) -> None:
        self._timer.stop()

    def _refresh_later(self) -> None:
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    def _fill(self) -> None:
        book, words = self._page.tree, self.field.text().strip()
        current_path = set(book.path_to(book.current))
        if words:
            rows = [(match.node, match.around) for match in book.search(words, MAX_LISTED)]
        else:
            rows = [(id, book.nodes[id].text) for id in book.list_generations()[:MAX_LISTED]]
        current = self.list.currentItem()
        current_id = current.data(Qt.ItemDataRole.UserRole) if current else None
        self.list.clear()
        for id, text in rows:
            node = book.nodes[id]
            author = "Model" if node.author is Author.MACHINE else "You"
            suffix = " · current" if id in current_path else ""
            item = QListWidgetItem(f"{_shorten(text)}\n{author}, {_format_time(node.created)}{suffix}")
            item.setData(Qt.ItemDataRole.UserRole, id)
            item.setIcon(
                icons.icon(
                    "circle" if id in current_path else "circle-outline", "accent" if id in current_path else "faint"
                )
            )
            self.list.addItem(item)
            if id == current_id:
                self.list.setCurrentItem(item)
        self.list.setIconSize(QSize(8, 8))
        self.list.setVisible(bool(rows))
        self.empty.setVisible(not rows)
        self.empty.setText(
            "No version contains these words."
            if words
            else "Everything that the model writes is listed here, also text that is no longer on the page."
        )

    def _open_version(self, item: QListWidgetItem) -> None:
        id = item.data(Qt.ItemDataRole.UserRole)
        book = self._page.tree
        self._page.go_to(id if self.field.text().strip() else book.find_leaf(id), cursor_after=id)


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SNIPPET else f"{line[:SNIPPET].rstrip()}…"


def _format_time(created: str) -> str:
    try:
        return datetime.fromisoformat(created).astimezone().strftime("%d %b, %H:%M")
    except ValueError:
        return "unknown date"
