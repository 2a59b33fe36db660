"""A collapsible group of advanced fields."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from studio.ui.theme import icons
from studio.ui.widgets import labels

UNGROUPED_TITLE = "More settings"
"""Title of the advanced fields without a group."""


class CollapsibleGroup(QWidget):
    """A header that shows or hides fields. `add_rows(column)` builds them when the group is opened first."""

    toggled = Signal(bool)

    def __init__(self, title: str, add_rows: Callable[[QVBoxLayout], None]) -> None:
        super().__init__()
        self._title = title or UNGROUPED_TITLE
        self._add_rows = add_rows
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

    def ensure_filled(self) -> None:
        """Build the rows if that has not happened yet."""
        if self._body.layout() is None:
            column = QVBoxLayout(self._body)
            column.setContentsMargins(0, 0, 0, 0)
            column.setSpacing(16)
            self._add_rows(column)

    def show_changed(self, count: int) -> None:
        """Show in the title how many fields differ from their default."""
        text = f"{self._title} · {count} changed" if count else self._title
        if text != self._button.text():
            self._button.setText(text)
            labels.describe(self._button, text, "Show or hide these settings")

    def _toggle(self, on: bool) -> None:
        self.ensure_filled()
        self._show_arrow(on)
        self._body.setVisible(on)
        self.toggled.emit(on)

    def _show_arrow(self, on: bool) -> None:
        self._button.setIcon(icons.icon("chevron-down" if on else "chevron-right"))
