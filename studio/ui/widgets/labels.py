"""Labels that show words as they are, and buttons that say their key."""

from __future__ import annotations

import html

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QLabel, QSizePolicy, QWidget


def make_label(text: str = "", role: str = "", *, wrap: bool = False, parent: QWidget | None = None) -> QLabel:
    """A label that never takes its text for rich text. `role` is one of the style sheet's."""
    made = QLabel(text, parent)
    made.setTextFormat(Qt.TextFormat.PlainText)
    if role:
        made.setProperty("role", role)
    if wrap:
        made.setWordWrap(True)
        made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return made


def make_tool_tip(text: str) -> str:
    """A tool tip that shows `text` as it is, in lines of a readable length."""
    return f"<qt>{html.escape(text)}</qt>" if text else ""


def describe(widget: QWidget, words: str, hint: str = "") -> None:
    """What assistive technology says, and the tool tip."""
    widget.setAccessibleName(words)
    if hint:
        widget.setAccessibleDescription(hint)
    widget.setToolTip(make_tool_tip(hint or words))


def make_line() -> QFrame:
    made = QFrame()
    made.setProperty("role", "line")
    return made


def set_flag(widget: QWidget, flag: str, on: bool) -> None:
    """A dynamic property that the style sheet looks at."""
    if bool(widget.property(flag)) != on:
        widget.setProperty(flag, on)
        widget.style().unpolish(widget)
        widget.style().polish(widget)
