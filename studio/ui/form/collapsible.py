"""Settings that are seldom changed, folded away under a line that says whether any of them is."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from studio.ui.theme import icons
from studio.ui.widgets import labels

SEVERAL = "More settings"
"""The title of the fold for what belongs to no group."""


class CollapsibleGroup(QWidget):
    """`fill(column)` adds the rows at the first unfolding: most folds are never opened."""

    toggled = Signal(bool)

    def __init__(self, title: str, fill: Callable[[QVBoxLayout], None]) -> None:
        super().__init__()
        self._title = title or SEVERAL
        self._fill = fill
        self._button = QPushButton()
        self._button.setCheckable(True)
        self._button.setProperty("role", "fold")
        self._button.setCursor(Qt.CursorShape.PointingHandCursor)
        self._button.toggled.connect(self._toggle)
        self._body = QWidget()
        self._body.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self._button)
        column.addWidget(self._body)
        self._show_arrow(False)
        self.show_changed(0)

    @property
    def is_open(self) -> bool:
        return self._button.isChecked()

    def open(self) -> None:
        self._button.setChecked(True)

    def filled(self) -> None:
        """Makes sure that the rows are there, whether seen or not."""
        if self._body.layout() is None:
            column = QVBoxLayout(self._body)
            column.setContentsMargins(0, 0, 0, 0)
            column.setSpacing(16)
            self._fill(column)

    def show_changed(self, count: int) -> None:
        """How many of the settings are not as they come."""
        text = f"{self._title} · {count} changed" if count else self._title
        if text != self._button.text():
            self._button.setText(text)
            labels.describe(self._button, text, "Shows or hides these settings")

    def _toggle(self, on: bool) -> None:
        self.filled()
        self._show_arrow(on)
        self._body.setVisible(on)
        self.toggled.emit(on)

    def _show_arrow(self, on: bool) -> None:
        self._button.setIcon(icons.icon("chevron-down" if on else "chevron-right"))
