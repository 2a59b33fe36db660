"""Editors for text, colours, and lists of plain values."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QMimeData, QSize
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QColorDialog, QHBoxLayout, QLineEdit, QPlainTextEdit, QToolButton, QVBoxLayout, QWidget

from studio.core.descriptor import Field, Widget
from studio.ui.form.base import Editor
from studio.ui.widgets import labels

PROMPT_LINES = (3, 9)
"""Smallest and largest height of a prompt, in lines."""


class LineEditor(Editor):
    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self.line = QLineEdit()
        labels.describe(self.line, field.title, field.help)
        self.line.textEdited.connect(lambda _: self.edited.emit())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.line)
        self.setFocusProxy(self.line)

    def value(self) -> Any:
        return self.line.text() or (None if self.field.optional else "")

    def show_value(self, value: Any) -> None:
        text = "" if value is None else str(value)
        if self.line.text() != text:
            self.line.setText(text)

    def set_invalid(self, invalid: bool) -> None:
        labels.set_flag(self.line, "invalid", invalid)


class MultilineEdit(QPlainTextEdit):
    """A plain-text edit that grows with its text. Tab moves to the next field."""

    def __init__(self, lines: tuple[int, int] = PROMPT_LINES) -> None:
        super().__init__()
        self._lines = lines
        self.setTabChangesFocus(True)
        self.document().documentLayout().documentSizeChanged.connect(lambda _: self._fit_height())
        self._fit_height()

    def insertFromMimeData(self, source: QMimeData) -> None:
        if source.hasText():
            self.insertPlainText(source.text())

    def _fit_height(self) -> None:
        least, most = self._lines
        lines = min(max(self.document().size().height(), least), most)
        margins = self.contentsMargins()
        frame = margins.top() + margins.bottom() + 2 * int(self.document().documentMargin()) + 10
        self.setFixedHeight(int(lines * self.fontMetrics().lineSpacing()) + frame)


class MultilineEditor(Editor):
    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self.edit = MultilineEdit()
        labels.describe(self.edit, field.title, field.help)
        self.edit.textChanged.connect(self._on_text_changed)
        self._is_updating = False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.edit)
        self.setFocusProxy(self.edit)

    def value(self) -> Any:
        return self.edit.toPlainText() or (None if self.field.optional else "")

    def show_value(self, value: Any) -> None:
        text = "" if value is None else str(value)
        if self.edit.toPlainText() != text:
            self._is_updating = True
            self.edit.setPlainText(text)
            self._is_updating = False

    def set_invalid(self, invalid: bool) -> None:
        labels.set_flag(self.edit, "invalid", invalid)

    def _on_text_changed(self) -> None:
        if not self._is_updating:
            self.edited.emit()


class ColourEditor(Editor):
    """An editor for a colour as ``#rrggbb``, with a swatch that opens a colour dialog."""

    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self.line = QLineEdit(maxLength=7)
        labels.describe(self.line, field.title, field.help)
        self.swatch = QToolButton()
        self.swatch.setIconSize(QSize(20, 20))
        labels.describe(self.swatch, f"Choose {field.title.lower()}")
        self.swatch.clicked.connect(self._choose)
        self.line.textEdited.connect(self._on_text_edited)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.swatch)
        row.addWidget(self.line, 1)
        self.setFocusProxy(self.line)

    def value(self) -> Any:
        return self.line.text() or None

    def show_value(self, value: Any) -> None:
        if self.line.text() != (value or ""):
            self.line.setText(value or "")
        patch = QPixmap(20, 20)
        patch.fill(QColor(value) if value and QColor.isValidColorName(value) else QColor("transparent"))
        self.swatch.setIcon(QIcon(patch))

    def set_invalid(self, invalid: bool) -> None:
        labels.set_flag(self.line, "invalid", invalid)

    def _on_text_edited(self, text: str) -> None:
        self.show_value(text)
        self.edited.emit()

    def _choose(self) -> None:
        dialog = QColorDialog(QColor(self.line.text() or "#808080"), self)
        dialog.setOption(QColorDialog.ColorDialogOption.DontUseNativeDialog)
        dialog.setWindowTitle(self.field.title)
        if dialog.exec():
            self.show_value(dialog.selectedColor().name())
            self.edited.emit()


class LinesEditor(MultilineEditor):
    """An editor for a list of words or numbers, one per line."""

    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self.edit.setPlaceholderText("One per line")

    def value(self) -> Any:
        lines = [line.strip() for line in self.edit.toPlainText().splitlines() if line.strip()]
        return [_to_number(line) for line in lines] if self.field.widget in _NUMBERS else lines

    def show_value(self, value: Any) -> None:
        if value != self.value():
            super().show_value("\n".join(str(item) for item in value or []))


_NUMBERS = (Widget.NUMBER, Widget.WHOLE, Widget.UNIT)


def _to_number(text: str) -> Any:
    """Return the number in a line, or the line itself if it is none: the check of the value then names it."""
    try:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        return text
