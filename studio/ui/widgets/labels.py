"""Labels in plain text, buttons, accessible names and tool tips."""

from __future__ import annotations

import html
from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QLabel, QPushButton, QSizePolicy, QWidget


def make_label(text: str = "", role: str = "", *, wrap: bool = False, parent: QWidget | None = None) -> QLabel:
    """Return a label that shows its text as plain text. `role` is a role of the style sheet."""
    label = QLabel(text, parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    if role:
        label.setProperty("role", role)
    if wrap:
        label.setWordWrap(True)
        label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def make_tool_tip(text: str) -> str:
    """Return `text` as a tool tip: escaped, and wrapped by Qt."""
    return f"<qt>{html.escape(text)}</qt>" if text else ""


def describe(widget: QWidget, name: str, hint: str = "") -> None:
    """Set the accessible name, the accessible description and the tool tip."""
    widget.setAccessibleName(name)
    if hint:
        widget.setAccessibleDescription(hint)
    widget.setToolTip(make_tool_tip(hint or name))


def make_button(text: str, hint: str, clicked: Callable[[], object]) -> QPushButton:
    """Return a button of a dialog that Enter does not press."""
    button = QPushButton(text)
    button.setAutoDefault(False)
    describe(button, text, hint)
    button.clicked.connect(lambda _=False: clicked())
    return button


def make_line() -> QFrame:
    """Return a horizontal separator."""
    line = QFrame()
    line.setProperty("role", "line")
    return line


def set_flag(widget: QWidget, flag: str, on: bool) -> None:
    """Set a dynamic property that the style sheet selects by, and restyle the widget."""
    if bool(widget.property(flag)) != on:
        widget.setProperty(flag, on)
        widget.style().unpolish(widget)
        widget.style().polish(widget)
