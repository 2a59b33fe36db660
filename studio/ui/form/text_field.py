"""Words: a line, a page, a colour, and lists of plain values."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QMimeData, QSize
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QColorDialog, QHBoxLayout, QLineEdit, QPlainTextEdit, QToolButton, QVBoxLayout, QWidget

from studio.core.descriptor import Field, Widget
from studio.ui.form.base import Editor
from studio.ui.widgets import labels

LINES = (3, 9)
"""A prompt is at least and at most this many lines high."""


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

    def set_wrong(self, wrong: bool) -> None:
        labels.set_flag(self.line, "wrong", wrong)


class MultilineEdit(QPlainTextEdit):
    """Takes words only, whatever is pasted, and grows with them. Tab goes to the next field."""

    def __init__(self, lines: tuple[int, int] = LINES) -> None:
        super().__init__()
        self._lines = lines
        self.setTabChangesFocus(True)
        self.document().documentLayout().documentSizeChanged.connect(lambda _: self._fit())
        self._fit()

    def insertFromMimeData(self, source: QMimeData) -> None:
        if source.hasText():
            self.insertPlainText(source.text())

    def _fit(self) -> None:
        least, most = self._lines
        lines = min(max(self.document().size().height(), least), most)
        margins = self.contentsMargins()
        services = margins.top() + margins.bottom() + 2 * int(self.document().documentMargin()) + 10
        self.setFixedHeight(int(lines * self.fontMetrics().lineSpacing()) + services)


class MultilineEditor(Editor):
    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self.page = MultilineEdit()
        labels.describe(self.page, field.title, field.help)
        self.page.textChanged.connect(self._changed)
        self._showing = False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.page)
        self.setFocusProxy(self.page)

    def value(self) -> Any:
        return self.page.toPlainText() or (None if self.field.optional else "")

    def show_value(self, value: Any) -> None:
        text = "" if value is None else str(value)
        if self.page.toPlainText() != text:
            self._showing = True
            self.page.setPlainText(text)
            self._showing = False

    def set_wrong(self, wrong: bool) -> None:
        labels.set_flag(self.page, "wrong", wrong)

    def _changed(self) -> None:
        if not self._showing:
            self.edited.emit()


class ColourEditor(Editor):
    """``#rrggbb``, with a swatch that opens a colour chooser."""

    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self.line = QLineEdit(maxLength=7)
        labels.describe(self.line, field.title, field.help)
        self.swatch = QToolButton()
        self.swatch.setIconSize(QSize(20, 20))
        labels.describe(self.swatch, f"Choose {field.title.lower()}")
        self.swatch.clicked.connect(self._choose)
        self.line.textEdited.connect(self._typed)
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

    def set_wrong(self, wrong: bool) -> None:
        labels.set_flag(self.line, "wrong", wrong)

    def _typed(self, text: str) -> None:
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
    """A list of words or numbers, one in each line."""

    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self.page.setPlaceholderText("One in each line")

    def value(self) -> Any:
        lines = [line.strip() for line in self.page.toPlainText().splitlines() if line.strip()]
        return [_as_number(line) for line in lines] if self.field.widget in _NUMBERS else lines

    def show_value(self, value: Any) -> None:
        if value != self.value():
            super().show_value("\n".join(str(item) for item in value or []))


_NUMBERS = (Widget.NUMBER, Widget.WHOLE, Widget.UNIT)


def _as_number(text: str) -> Any:
    """The number in a line; the line itself where there is none, so that the check can name it."""
    try:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        return text
