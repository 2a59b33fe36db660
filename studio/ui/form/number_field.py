"""Numbers: a slider where there are bounds, with the number itself beside the title."""

from __future__ import annotations

import math
from typing import Any

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QHBoxLayout, QSlider, QVBoxLayout, QWidget

from studio.core.descriptor import Field, Widget
from studio.ui.form.base import Editor, NoWheel
from studio.ui.widgets import labels

MOST_STEPS = 1000
"""A slider with more steps than this cannot be set with a mouse."""
_WIDEST = 1e12


class Slider(NoWheel, QSlider):
    """A click on the groove jumps there."""


class NumberSpinBox(NoWheel, QDoubleSpinBox):
    """Whole numbers too, since a Qt spin box of integers ends at 2³¹."""

    def __init__(self, digits: int) -> None:
        super().__init__()
        self.setDecimals(digits)
        self.setKeyboardTracking(False)
        self.set_margin(8)
        self.setCorrectionMode(QAbstractSpinBox.CorrectionMode.CorrectToNearestValue)

    def set_margin(self, pixels: int) -> None:
        """The style sheet's padding does not reach the text inside."""
        self.lineEdit().setTextMargins(pixels, 0, pixels, 0)

    def textFromValue(self, value: float) -> str:
        text = f"{value:.{self.decimals()}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text

    def sizeHint(self) -> QSize:
        """As wide as what it shows: bounds of a million would make it needlessly wide."""
        width = self.fontMetrics().horizontalAdvance(self.text()) + 28
        return QSize(max(64, width), super().sizeHint().height())


class NumberEditor(Editor):
    """For `Widget.WHOLE`, `Widget.NUMBER` and `Widget.UNIT`, which is shown in per cent.

    An optional number starts at one step below its least value, shown as "Automatic".
    """

    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self._scale = 100.0 if field.widget is Widget.UNIT else 1.0
        self._low = field.minimum if field.minimum is not None else (0.0 if field.widget is Widget.UNIT else -_WIDEST)
        self._high = field.maximum if field.maximum is not None else (1.0 if field.widget is Widget.UNIT else _WIDEST)
        self._step = field.step or _step(field, self._low, self._high)
        digits = 0 if field.widget is Widget.WHOLE else _digits(self._step * self._scale)
        self._none = self._low - self._step
        self.number = NumberSpinBox(digits)
        self.number.setRange((self._none if field.optional else self._low) * self._scale, self._high * self._scale)
        self.number.setSingleStep(self._step * self._scale)
        if field.optional:
            self.number.setSpecialValueText("Automatic")
        unit = "%" if field.widget is Widget.UNIT else field.unit
        if unit:
            self.number.setSuffix(f" {unit}")
        labels.describe(self.number, field.title, field.help)
        self.slider = self._make_slider()
        self._lay_out()
        self.number.valueChanged.connect(self._typed)

    def _make_slider(self) -> Slider | None:
        steps = (self._high - self._low) / self._step
        if self.field.optional or not 1 <= steps <= MOST_STEPS:
            return None
        slider = Slider(Qt.Orientation.Horizontal)
        slider.setRange(0, round(steps))
        slider.setPageStep(max(1, round(steps / 10)))
        labels.describe(slider, f"{self.field.title}, slider", self.field.help)
        slider.valueChanged.connect(self._slid)
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

    def head(self) -> QWidget | None:
        return self.number if self.slider is not None else None

    def value(self) -> Any:
        shown = self.number.value() / self._scale
        if self.field.optional and shown <= self._none + self._step / 2:
            return None
        if self.field.widget is Widget.WHOLE:
            return round(shown)
        return round(shown, 10)

    def show_value(self, value: Any) -> None:
        number = self._as_number(value)
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

    def set_wrong(self, wrong: bool) -> None:
        labels.set_flag(self.number, "wrong", wrong)

    def _as_number(self, value: Any) -> float:
        if value is None:
            return self._none if self.field.optional else max(0.0, self._low)
        try:
            number = float(value)
        except (TypeError, ValueError):
            return max(0.0, self._low)
        return number if math.isfinite(number) else max(0.0, self._low)

    def _slid(self, place: int) -> None:
        self.number.blockSignals(True)
        self.number.setValue((self._low + place * self._step) * self._scale)
        self.number.blockSignals(False)
        self.number.updateGeometry()
        self.edited.emit()

    def _typed(self, value: float) -> None:
        if self.slider is not None:
            self.slider.blockSignals(True)
            self.slider.setValue(round((value / self._scale - self._low) / self._step))
            self.slider.blockSignals(False)
        self.number.updateGeometry()
        self.edited.emit()


def _step(field: Field, low: float, high: float) -> float:
    """A round step: 1 for whole numbers, a hundredth of the range or finer for others."""
    if field.widget is Widget.WHOLE:
        return 1.0
    span = high - low
    if span >= _WIDEST:
        return 0.1
    return float(10 ** math.floor(math.log10(span / 50))) if span > 0 else 0.1


def _digits(step: float) -> int:
    return next((digits for digits in range(7) if abs(step * 10**digits - round(step * 10**digits)) < 1e-6), 6)
