"""Editors for choices and switches."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from studio.core.descriptor import Field
from studio.ui.form.base import Editor, WheelFocusMixin
from studio.ui.theme import icons, theme
from studio.ui.widgets import labels
from studio.ui.widgets.flow_layout import FlowLayout

MAX_SEGMENTS = 4
MAX_SEGMENT_LETTERS = 34
"""Up to this many choices with this many letters in total are shown as buttons side by side."""


class Combo(WheelFocusMixin, QComboBox):
    """A combo box that does not grow with its items."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)

    def showPopup(self) -> None:
        self.view().setAccessibleName(self.accessibleName())
        super().showPopup()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the arrow, because the style sheet removes Fusion's."""
        super().paintEvent(event)
        arrow = icons.pixmap("chevron-down", 16, "dim" if self.isEnabled() else "faint", self.devicePixelRatioF())
        QPainter(self).drawPixmap(self.width() - 24, (self.height() - 16) // 2, arrow)


def _list_options(field: Field) -> list[tuple[Any, str]]:
    options: list[tuple[Any, str]] = list(zip(field.choices, field.labels, strict=False))
    return [(None, "Automatic"), *options] if field.optional else options


def make_choice_editor(field: Field) -> Editor:
    if field.many:
        return ChipsEditor(field)
    options = _list_options(field)
    if len(options) <= MAX_SEGMENTS and sum(len(text) for _, text in options) <= MAX_SEGMENT_LETTERS:
        return SegmentsEditor(field)
    return ComboEditor(field)


class SegmentsEditor(Editor):
    """A few short choices as buttons. Arrow keys move between them."""

    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self._group = QButtonGroup(self)
        row = FlowLayout(self)
        self._options = _list_options(field)
        for index, (_, text) in enumerate(self._options):
            button = QPushButton(text.replace("&", "&&"))
            button.setCheckable(True)
            labels.describe(button, f"{field.title}: {text}", field.help)
            self._group.addButton(button, index)
            row.addWidget(button)
        self._group.idClicked.connect(lambda _: self.edited.emit())
        if (first := self._group.button(0)) is not None:
            self.setFocusProxy(first)

    def value(self) -> Any:
        index = self._group.checkedId()
        return self._options[index][0] if index >= 0 else None

    def show_value(self, value: Any) -> None:
        for index, (choice, _) in enumerate(self._options):
            if choice == value or (choice is not None and str(choice) == str(value)):
                self._group.button(index).setChecked(True)
                return
        if (checked := self._group.checkedButton()) is not None:
            self._group.setExclusive(False)
            checked.setChecked(False)
            self._group.setExclusive(True)


class ComboEditor(Editor):
    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self.combo = Combo()
        labels.describe(self.combo, field.title, field.help)
        self._options = _list_options(field)
        for _, text in self._options:
            self.combo.addItem(text)
        self.combo.setCurrentIndex(-1)
        self.combo.activated.connect(lambda _: self.edited.emit())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.combo)
        self.setFocusProxy(self.combo)

    def value(self) -> Any:
        index = self.combo.currentIndex()
        return self._options[index][0] if index >= 0 else None

    def show_value(self, value: Any) -> None:
        choices = [choice for choice, _ in self._options]
        same = [i for i, choice in enumerate(choices) if choice == value or str(choice) == str(value)]
        self.combo.setCurrentIndex(same[0] if same else -1)

    def set_invalid(self, invalid: bool) -> None:
        labels.set_flag(self.combo, "invalid", invalid)


class ChipsEditor(Editor):
    """Buttons of which any number can be chosen."""

    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        row = FlowLayout(self)
        self._buttons: list[tuple[Any, QPushButton]] = []
        for choice, text in zip(field.choices, field.labels, strict=False):
            button = QPushButton(text.replace("&", "&&"))
            button.setCheckable(True)
            labels.describe(button, f"{field.title}: {text}", field.help)
            button.clicked.connect(lambda _=False: self.edited.emit())
            self._buttons.append((choice, button))
            row.addWidget(button)
        if self._buttons:
            self.setFocusProxy(self._buttons[0][1])

    def value(self) -> Any:
        return [choice for choice, button in self._buttons if button.isChecked()]

    def show_value(self, value: Any) -> None:
        chosen = value or []
        for choice, button in self._buttons:
            button.setChecked(choice in chosen)


class Switch(QAbstractButton):
    """A switch with a knob at the left (off) or right (on)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def sizeHint(self) -> QSize:
        return QSize(36, 20)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme.COLOURS
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        track = QRectF(1, 1, self.width() - 2, self.height() - 2)
        painter.setPen(QColor(colours.text) if self.hasFocus() else Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.faint if self.isChecked() else colours.groove))
        painter.drawRoundedRect(track, track.height() / 2, track.height() / 2)
        radius = track.height() / 2 - 3
        x = track.right() - radius - 3 if self.isChecked() else track.left() + radius + 3
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.knob))
        painter.drawEllipse(QPointF(x, track.center().y()), radius, radius)


class SwitchEditor(Editor):
    """An editor for a boolean. Its switch is at the right of the title."""

    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self.switch = Switch()
        labels.describe(self.switch, field.title, field.help)
        self.switch.clicked.connect(lambda _=False: self.edited.emit())
        self.setFocusProxy(self.switch)
        QHBoxLayout(self).setContentsMargins(0, 0, 0, 0)

    def header_widget(self) -> QWidget | None:
        return self.switch

    def value(self) -> Any:
        return self.switch.isChecked()

    def show_value(self, value: Any) -> None:
        self.switch.setChecked(bool(value))
