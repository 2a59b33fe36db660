"""The bar for find and replace."""

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
    """Finds matches in a text. Replacements are emitted, not made."""

    matches_changed = Signal(object)
    """Emitted with all matches, as (position, length)."""
    match_selected = Signal(int, int)
    """Emitted with the position and length of the current match."""
    replaced = Signal(object)
    """Emitted with replacements, as (position, length, new text)."""
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.find_field = QLineEdit(clearButtonEnabled=True)
        self.find_field.setPlaceholderText("Find on this page")
        labels.describe(self.find_field, "Find")
        self.replace_field = QLineEdit()
        self.replace_field.setPlaceholderText("Replace with")
        labels.describe(self.replace_field, "Replace with")
        self.count = labels.make_label("", "caption")
        self.count.setMinimumWidth(64)
        self.match_case = QPushButton("Aa")
        self.match_case.setCheckable(True)
        self.match_case.setProperty("role", "ghost")
        labels.describe(self.match_case, "Match case", "Distinguish upper and lower case")
        self.previous_button = _make_icon_button("chevron-up", "Previous match", "Previous match (Shift+Enter)")
        self.next_button = _make_icon_button("chevron-down", "Next match", "Next match (Enter)")
        self.replace_button = QPushButton("Replace")
        labels.describe(self.replace_button, "Replace this match")
        self.replace_all_button = QPushButton("Replace all")
        labels.describe(self.replace_all_button, "Replace all matches")
        self.close_button = _make_icon_button("close", "Close Find", "Close (Esc)")
        self._rows = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._rows.setSpacing(8)
        for field, others in (
            (self.find_field, (self.count, self.match_case, self.previous_button, self.next_button)),
            (self.replace_field, (self.replace_button, self.replace_all_button, self.close_button)),
        ):
            row = QHBoxLayout()
            row.setSpacing(8)
            row.addWidget(field, 1)
            for widget in others:
                row.addWidget(widget)
            self._rows.addLayout(row, 1)
        self._text = ""
        self._cursor = 0
        self._matches: list[tuple[int, int]] = []
        self._current = -1
        self.find_field.textEdited.connect(lambda _: self._search(move=True))
        self.match_case.toggled.connect(lambda _: self._search(move=True))
        self.previous_button.clicked.connect(lambda: self.step(-1))
        self.next_button.clicked.connect(lambda: self.step(1))
        self.replace_button.clicked.connect(self._replace_one)
        self.replace_all_button.clicked.connect(self._replace_all)
        self.close_button.clicked.connect(self.closed)
        self.set_narrow(False)
        self._show()

    def set_text(self, text: str, cursor: int) -> None:
        """Search in `text`; the first match is the one after `cursor`."""
        self._cursor = cursor
        if text != self._text:
            self._text = text
            self._search(move=False)

    def start(self, selected: str) -> None:
        """Open the bar, and search for the selection if it is a short line."""
        if selected and "\n" not in selected and len(selected) < 80:
            self.find_field.setText(selected)
        self._search(move=bool(self.find_field.text()))
        self.find_field.setFocus()
        self.find_field.selectAll()

    def step(self, by: int) -> None:
        if self._matches:
            self._current = (self._current + by) % len(self._matches) if self._current >= 0 else 0
            self.match_selected.emit(*self._matches[self._current])
            self._show()

    def set_narrow(self, narrow: bool) -> None:
        """Place the replace field below the find field, or beside it."""
        direction = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        self._rows.setDirection(direction)
        self._rows.setContentsMargins(8 if narrow else 16, 8, 8 if narrow else 16, 8)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if self.replace_field.hasFocus():
                self._replace_one()
            else:
                self.step(-1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1)
        else:
            super().keyPressEvent(event)

    def _search(self, *, move: bool) -> None:
        words = self.find_field.text()
        flags = re.NOFLAG if self.match_case.isChecked() else re.IGNORECASE
        matches = re.finditer(re.escape(words), self._text, flags) if words else iter(())
        self._matches = [(match.start(), match.end() - match.start()) for match in matches]
        self._current = next(
            (n for n, (at, _) in enumerate(self._matches) if at >= self._cursor), 0 if self._matches else -1
        )
        self.matches_changed.emit(self._matches)
        if move and self._current >= 0:
            self.match_selected.emit(*self._matches[self._current])
        self._show()

    def _replace_one(self) -> None:
        if 0 <= self._current < len(self._matches):
            at, length = self._matches[self._current]
            self._cursor = at + len(self.replace_field.text())
            self.replaced.emit([(at, length, self.replace_field.text())])
            if 0 <= self._current < len(self._matches):
                self.match_selected.emit(*self._matches[self._current])

    def _replace_all(self) -> None:
        changes: Sequence[tuple[int, int, str]] = [
            (at, length, self.replace_field.text()) for at, length in self._matches
        ]
        if changes:
            self.replaced.emit(changes)

    def _show(self) -> None:
        total = len(self._matches)
        if not self.find_field.text():
            self.count.setText("")
        else:
            self.count.setText(f"{self._current + 1} of {group_digits(total)}" if total else "Not found")
        for widget in (self.previous_button, self.next_button, self.replace_button, self.replace_all_button):
            widget.setEnabled(total > 0)


def _make_icon_button(icon: str, name: str, hint: str) -> QToolButton:
    button = QToolButton()
    button.setProperty("role", "ghost")
    button.setIcon(icons.icon(icon, "text"))
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    labels.describe(button, name, hint)
    return button
