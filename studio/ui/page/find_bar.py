"""Finds words on the page, and replaces them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QLineEdit, QPushButton, QToolButton, QWidget

from studio.core.humanize import group_digits
from studio.ui.theme import icons
from studio.ui.widgets import labels


class FindBar(QWidget):
    """It knows words and places in a text; the page is somebody else's."""

    marked = Signal(object)
    """All places that match, as (place, length)."""
    shown = Signal(int, int)
    """The place and length of the match that should be in view."""
    replaced = Signal(object)
    """Changes to the text, as (place, length, new words)."""
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.wanted = QLineEdit(clearButtonEnabled=True)
        self.wanted.setPlaceholderText("Find on this page")
        labels.describe(self.wanted, "Find")
        self.new = QLineEdit()
        self.new.setPlaceholderText("Replace with")
        labels.describe(self.new, "Replace with")
        self.count = labels.make_label("", "caption")
        self.count.setMinimumWidth(64)
        self.case = QPushButton("Aa")
        self.case.setCheckable(True)
        self.case.setProperty("role", "ghost")
        labels.describe(self.case, "Match case", "Capitals and small letters must be the same")
        self.back = _icon("chevron-up", "Previous match", "Previous match (Shift+Enter)")
        self.on = _icon("chevron-down", "Next match", "Next match (Enter)")
        self.one = QPushButton("Replace")
        labels.describe(self.one, "Replace this match")
        self.all = QPushButton("Replace all")
        labels.describe(self.all, "Replace all matches")
        self.close_button = _icon("close", "Close Find", "Close (Esc)")
        self._rows = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._rows.setSpacing(8)
        for field, others in (
            (self.wanted, (self.count, self.case, self.back, self.on)),
            (self.new, (self.one, self.all, self.close_button)),
        ):
            row = QHBoxLayout()
            row.setSpacing(8)
            row.addWidget(field, 1)
            for widget in others:
                row.addWidget(widget)
            self._rows.addLayout(row, 1)
        self._text = ""
        self._cursor = 0
        self._found: list[tuple[int, int]] = []
        self._at = -1
        self.wanted.textEdited.connect(lambda _: self._search(move=True))
        self.case.toggled.connect(lambda _: self._search(move=True))
        self.back.clicked.connect(lambda: self.step(-1))
        self.on.clicked.connect(lambda: self.step(1))
        self.one.clicked.connect(self._replace_one)
        self.all.clicked.connect(self._replace_all)
        self.close_button.clicked.connect(self.closed)
        self.set_narrow(False)
        self._show()

    def look_at(self, text: str, cursor: int) -> None:
        """The text as it is now, and from where a search goes on."""
        self._cursor = cursor
        if text != self._text:
            self._text = text
            self._search(move=False)

    def begin(self, selected: str) -> None:
        """With what is selected, if it is short."""
        if selected and "\n" not in selected and len(selected) < 80:
            self.wanted.setText(selected)
        self._search(move=bool(self.wanted.text()))
        self.wanted.setFocus()
        self.wanted.selectAll()

    def step(self, by: int) -> None:
        if self._found:
            self._at = (self._at + by) % len(self._found) if self._at >= 0 else 0
            self.shown.emit(*self._found[self._at])
            self._show()

    def set_narrow(self, narrow: bool) -> None:
        """Replacing goes below where there is no room beside."""
        way = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        self._rows.setDirection(way)
        self._rows.setContentsMargins(8 if narrow else 16, 8, 8 if narrow else 16, 8)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if self.new.hasFocus():
                self._replace_one()
            else:
                self.step(-1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1)
        else:
            super().keyPressEvent(event)

    def _search(self, *, move: bool) -> None:
        wanted = self.wanted.text()
        flags = re.NOFLAG if self.case.isChecked() else re.IGNORECASE
        found = re.finditer(re.escape(wanted), self._text, flags) if wanted else iter(())
        self._found = [(match.start(), match.end() - match.start()) for match in found]
        self._at = next((n for n, (at, _) in enumerate(self._found) if at >= self._cursor), 0 if self._found else -1)
        self.marked.emit(self._found)
        if move and self._at >= 0:
            self.shown.emit(*self._found[self._at])
        self._show()

    def _replace_one(self) -> None:
        if 0 <= self._at < len(self._found):
            at, length = self._found[self._at]
            self._cursor = at + len(self.new.text())
            self.replaced.emit([(at, length, self.new.text())])
            if 0 <= self._at < len(self._found):
                self.shown.emit(*self._found[self._at])

    def _replace_all(self) -> None:
        changes: Sequence[tuple[int, int, str]] = [(at, length, self.new.text()) for at, length in self._found]
        if changes:
            self.replaced.emit(changes)

    def _show(self) -> None:
        found = len(self._found)
        if not self.wanted.text():
            self.count.setText("")
        else:
            self.count.setText(f"{self._at + 1} of {group_digits(found)}" if found else "Not found")
        for widget in (self.back, self.on, self.one, self.all):
            widget.setEnabled(found > 0)


def _icon(icon: str, name: str, hint: str) -> QToolButton:
    button = QToolButton()
    button.setProperty("role", "ghost")
    button.setIcon(icons.icon(icon, "text"))
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    labels.describe(button, name, hint)
    return button
