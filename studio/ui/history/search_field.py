"""The search field, and the grammar that it understands one click away."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QMenu, QWidget

from studio.ui.theme import icons

GRAMMAR = (
    ("fox lantern", "words in the prompt, title, tags or name"),
    ("tool:style", "made by a tool"),
    ("tag:portrait", "carries a tag"),
    ("rating:>=3", "three stars and more"),
    ("is:starred", "starred"),
    ("kind:animation", "image, animation, text or model"),
    ("before:2026-11-01", "older than a day; after: is newer"),
    ("seed:41882", "made with a seed"),
    ("-word", "without a word"),
)


class SearchField(QLineEdit):
    searched = Signal(str)
    left = Signal()
    """The Down key: on to what was found."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Search the history")
        self.setPlaceholderText("Search, or tool:style rating:>=3")
        self.setMaxLength(2_000)
        self.addAction(icons.icon("magnify"), QLineEdit.ActionPosition.LeadingPosition)
        self._clear = QAction(icons.icon("close"), "Clear the search", self)
        self._clear.triggered.connect(self.clear)
        self._hint = QAction(icons.icon("help-circle-outline"), "What can be searched for", self)
        self._hint.triggered.connect(self.show_grammar)
        self.addAction(self._hint, QLineEdit.ActionPosition.TrailingPosition)
        self.addAction(self._clear, QLineEdit.ActionPosition.TrailingPosition)
        self._clear.setVisible(False)
        self.textChanged.connect(self._changed)

    def show_grammar(self) -> None:
        """Examples; choosing one writes it into the field."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for example, meaning in GRAMMAR:
            action = menu.addAction(f"{example}\t{meaning}")
            action.triggered.connect(lambda _=False, example=example: self._write(example))
        menu.popup(self.mapToGlobal(QPoint(0, self.height() + 4)))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        elif event.key() == Qt.Key.Key_Down:
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def _changed(self, text: str) -> None:
        self._clear.setVisible(bool(text))
        self._hint.setVisible(not text)
        self.searched.emit(text)

    def _write(self, example: str) -> None:
        self.setText(example)
        _, colon, value = example.partition(":")
        if colon:
            self.setSelection(len(example) - len(value), len(value))
        else:
            self.selectAll()
        self.setFocus()
