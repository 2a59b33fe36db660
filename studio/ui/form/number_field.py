"""The editor for numbers: a slider if there are bounds, with the number beside the title."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QHBoxLayout, QSlider, QVBoxLayout, QWidget

from studio.core.descriptor import Field, Widget
from studio.ui.form.base import Editor, WheelFocusMixin
from studio.ui.widgets import labels

MAX_SLIDER_STEPS = 1000
"""Largest number of steps of a slider; more cannot be set with a mouse."""
MAX_DECIMALS = 8
_UNBOUNDED = 1e12


class Slider(WheelFocusMixin, QSlider):
    """A horizontal or vertical slider that takes the wheel only with the focus."""


class NumberSpinBox(WheelFocusMixin, QDoubleSpinBox):
    """A spin box for decimal and whole numbers, because Qt's `QSpinBox` ends at 2³¹."""

    def __init__(self, digits: int) -> None:
        super().__init__()
        self.setDecimals(digits)
        self.setKeyboardTracking(False)
        self.set_margin(8)
        self.setCorrectionMode(QAbstractSpinBox.CorrectionMode.CorrectToNearestValue)

    def set_margin(self, pixels: int) -> None:
        """Set the margin beside the text, which the style sheet's padding does not change."""
        self.lineEdit().setTextMargins(pixels, 0, pixels, 0)

    def textFromValue(self, value: float) -> str:
        text = f"{value:.{self.decimals()}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text

    def sizeHint(self) -> QSize:
        """Return a size for the current text. Qt's own size hint has room for the bounds."""
        width = self.fontMetrics().horizontalAdvance(self.text()) + 28
        return QSize(max(64, width), super().sizeHint().height())


class NumberEditor(Editor):
    """An editor for `Widget.WHOLE`, `Widget.NUMBER` and `Widget.UNIT`; the latter is shown in per cent.

    An optional number has one step below its minimum, which is shown as "Automatic" and means None.
    """

    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self._scale = 100.0 if field.widget is Widget.UNIT else 1.0
        self._low = (
            field.minimum if field.minimum is not None else (0.0 if field.widget is Widget.UNIT else -_UNBOUNDED)
        )
        self._high = (
            field.maximum if field.maximum is not None else (1.0 if field.widget is Widget.UNIT else _UNBOUNDED)
        )
        self._step = field.step or choose_step(field, self._low, self._high)
        digits = 0 if field.widget is Widget.WHOLE else self._count_digits()
        self._automatic = self._low - self._step
        self.number = NumberSpinBox(digits)
        self.number.setRange((self._automatic if field.optional else self._low) * self._scale, self._high * self._scale)
        self.number.setSingleStep(self._step * self._scale)
        if field.optional:
            self.number.setSpecialValueText("Automatic")
        unit = "%" if field.widget is Widget.UNIT else field.unit
        if unit:
            self.number.setSuffix(f" {unit}")
        labels.describe(self.number, field.title, field.help)
        self.slider = self._make_slider()
        self._lay_out()
        self.number.valueChanged.connect(self._on_number_changed)

    def _count_digits(self) -> int:
        """Return the decimals that a step, the default and the minimum need, for example 7 for a learning rate."""
        numbers = (self._step, self.field.default, self.field.minimum)
        return max(_count_decimals(n * self._scale) for n in numbers if isinstance(n, int | float))

    def _make_slider(self) -> Slider | None:
        steps = (self._high - self._low) / self._step
        if self.field.optional or not 1 <= steps <= MAX_SLIDER_STEPS:
            return None
        slider = Slider(Qt.Orientation.Horizontal)
        slider.setRange(0, round(steps))
        slider.setPageStep(max(1, round(steps / 10)))
        labels.describe(slider, f"{self.field.title}, slider", self.field.help)
        slider.valueChanged.connect(self._on_slider_moved)
        return slider

    def _lay_out(self) -> None:
        if self.slider is not None:
            self.number.setProperty("role", "value")
            self.number.set_margin(2)
            self.number.setAlignment(Qt.AlignmentFlag.AlignRight)
            column = QVBoxLayout(self)
            column.setContentsMargins(0, 0, 0, 0)
            column.addWidget(self.slider)
            self.setFocusProxy(self.slider)
        else:
            row = QHBoxLayout(self)
            row.setContentsMargins(0, 0, 0, 0)
            row.addWidget(self.number)
            row.addStretch(1)
            self.setFocusProxy(self.number)

    def header_widget(self) -> QWidget | None:
        return self.number if self.slider is not None else None

    def value(self) -> Any:
        number = self.number.value() / self._scale
        if self.field.optional and number <= self._automatic + self._step / 2:
            return None
        if self.field.widget is Widget.WHOLE:
            return round(number)
        return round(number, 10)

    def show_value(self, value: Any) -> None:
        number = self._to_number(value)
        for part in (self.number, self.slider):
            if part is not None:
                part.blockSignals(True)
        self.number.setValue(number * self._scale)
        if self.slider is not None:
            self.slider.setValue(round((number - self._low) / self._step))
        for part in (self.number, self.slider):
            if part is not None:
                part.blockSignals(False)
        self.number.updateGeometry()

    def set_invalid(self, invalid: bool) -> None:
        labels.set_flag(self.number, "invalid", invalid)

    def _to_number(self, value: Any) -> float:
        if value is None:
            return self._automatic if self.field.optional else max(0.0, self._low)
        try:
            number = float(value)
        except (TypeError, ValueError):
            return max(0.0, self._low)
        return number if math.isfinite(number) else max(0.0, self._low)

    def _on_slider_moved(self, position: int) -> None:
        self.number.blockSignals(True)
        self.number.setValue((self._low + position * self._step) * self._scale)
        self.number.blockSignals(False)
        self.number.updateGeometry()
        self.edited.emit()

    def _on_number_changed(self, value: float) -> None:
        if self.slider is not None:
            self.slider.blockSignals(True)
            self.slider.setValue(round((value / self._scale - self._low) / self._step))
            self.slider.blockSignals(False)
        self.number.updateGeometry()
        self.edited.emit()


def choose_step(field: Field, low: float, high: float) -> float:
    """Return a round step: 1 for whole numbers, otherwise a power of ten of about a hundredth of the range."""
    if field.widget is Widget.WHOLE:
        return 1.0
    span = high - low
    if span >= _UNBOUNDED:
        return 0.1
    return float(10 ** math.floor(math.log10(span / 50))) if span > 0 else 0.1


def _count_decimals(number: float) -> int:
    """Return the number of decimals that shows a number, at most `MAX_DECIMALS`."""
    exponent = Decimal(str(round(number, MAX_DECIMALS))).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
