"""The search field, with a menu that explains the search syntax."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QMenu, QWidget

from studio.ui.theme import icons

SYNTAX = (
    ("fox lantern", "words in the prompt, title, tags or name"),
    ("tool:style", "made with this tool"),
    ("tag:portrait", "has this tag"),
    ("rating:>=3", "three stars or more"),
    ("is:starred", "starred"),
    ("kind:animation", "image, animation, text or model"),
    ("before:2026-11-01", "made before this day; use after: for later"),
    ("seed:41882", "made with this seed"),
    ("-word", "does not contain this word"),
)


class SearchField(QLineEdit):
    searched = Signal(str)
    down_pressed = Signal()
    """Emitted for the Down key, which moves to the results."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Search history")
        self.setPlaceholderText("Search, or tool:style rating:>=3")
        self.setMaxLength(2_000)
        self.addAction(icons.icon("magnify"), QLineEdit.ActionPosition.LeadingPosition)
        self._clear = QAction(icons.icon("close"), "Clear search", self)
        self._clear.triggered.connect(self.clear)
        self._hint = QAction(icons.icon("help-circle-outline"), "Search help", self)
        self._hint.triggered.connect(self.show_help)
        self.addAction(self._hint, QLineEdit.ActionPosition.TrailingPosition)
        self.addAction(self._clear, QLineEdit.ActionPosition.TrailingPosition)
        self._clear.setVisible(False)
        self.textChanged.connect(self._on_text_changed)

    def show_help(self) -> None:
        """Open a menu of examples. Choosing one writes it into the field."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for example, meaning in SYNTAX:
            action = menu.addAction(f"{example}\t{meaning}")
            action.triggered.connect(lambda _=False, example=example: self._write(example))
        menu.popup(self.mapToGlobal(QPoint(0, self.height() + 4)))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        elif event.key() == Qt.Key.Key_Down:
            self.down_pressed.emit()
        else:
            super().keyPressEvent(event)

    def _on_text_changed(self, text: str) -> None:
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
