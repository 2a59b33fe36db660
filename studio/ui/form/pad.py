"""A pad on which two numbers are set at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.core.descriptor import Field
from studio.ui.form.number_field import choose_step
from studio.ui.theme import theme
from studio.ui.widgets import labels

HEIGHT = 180
RADIUS = 7
"""Radius of the point in logical pixels."""
LARGE_STEP = 10
"""Steps of an arrow key with Shift."""
_ARROWS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, 1),
    Qt.Key.Key_Down: (0, -1),
}


class Axis:
    """One of the two numbers, with its bounds."""

    def __init__(self, field: Field) -> None:
        assert field.minimum is not None
        assert field.maximum is not None
        self.name, self.title = field.name, field.title
        self.low, self.high = field.minimum, field.maximum
        self.step = field.step or choose_step(field, self.low, self.high)
        self.default = self.clamp(field.default)
        self.value = self.default

    def clamp(self, value: Any) -> float:
        """Return the value on a step within the bounds; their middle for what is no number."""
        number = float(value) if isinstance(value, int | float) else (self.low + self.high) / 2
        stepped = self.low + round((number - self.low) / self.step) * self.step
        return round(min(max(stepped, self.low), self.high), 10)

    def to_fraction(self, value: float) -> float:
        return (value - self.low) / ((self.high - self.low) or 1.0)

    def from_fraction(self, fraction: float) -> float:
        return self.low + fraction * (self.high - self.low)


class Pad(QWidget):
    """Shows two numbers as a point: the first grows to the right, the second upwards.

    Drag the point, or move it with the arrow keys, with Shift in larger steps. A double click and Home set the
    defaults.
    """

    moved = Signal(str, float)
    """Emitted with the name and the value of a number that the artist has changed."""

    def __init__(self, across: Field, up: Field, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.axes = Axis(across), Axis(up)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._describe()

    def sizeHint(self) -> QSize:
        return QSize(HEIGHT, HEIGHT)

    def show_value(self, name: str, value: Any) -> None:
        """Move the point to the value of a field, if it is one of the two."""
        for axis in self.axes:
            if axis.name == name:
                axis.value = axis.clamp(value)
                self._describe()
                self.update()

    def _describe(self) -> None:
        place = ", ".join(f"{axis.title} {axis.value:g}" for axis in self.axes)
        name = " and ".join(axis.title for axis in self.axes)
        labels.describe(self, name, f"{place}. Drag, or use the arrow keys. A double click or Home sets both back.")

    def _move(self, values: Sequence[float]) -> None:
        changed = []
        for axis, value in zip(self.axes, values, strict=True):
            if (number := axis.clamp(value)) != axis.value:
                axis.value = number
                changed.append(axis)
        self._describe()
        self.update()
        for axis in changed:
            self.moved.emit(axis.name, axis.value)

    # Mouse and keys
    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._move_to(event.position())
        else:
            event.ignore()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._move_to(event.position())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self._reset()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key(event.key())
        if key == Qt.Key.Key_Home:
            self._reset()
        elif key in _ARROWS:
            steps = LARGE_STEP if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1
            pairs = zip(self.axes, _ARROWS[key], strict=True)
            self._move([axis.value + direction * steps * axis.step for axis, direction in pairs])
        else:
            event.ignore()

    def _move_to(self, at: QPointF) -> None:
        area = self._area
        across, up = self.axes
        x = across.from_fraction((at.x() - area.left()) / area.width())
        y = up.from_fraction((area.bottom() - at.y()) / area.height())
        self._move([x, y])

    def _reset(self) -> None:
        self._move([axis.default for axis in self.axes])

    def focusInEvent(self, event: QFocusEvent) -> None:
        self.update()
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self.update()
        super().focusOutEvent(event)

    # Drawing
    @property
    def _area(self) -> QRectF:
        """The rectangle whose edges are the bounds."""
        return QRectF(self.rect()).adjusted(RADIUS, RADIUS, -RADIUS, -RADIUS)

    def _place(self, x: float, y: float) -> QPointF:
        area = self._area
        across, up = self.axes
        return QPointF(
            area.left() + across.to_fraction(x) * area.width(), area.bottom() - up.to_fraction(y) * area.height()
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        colours, area = theme.COLOURS, self._area
        across, up = self.axes
        origin, point = self._place(across.default, up.default), self._place(across.value, up.value)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(colours.dim if self.hasFocus() else colours.border))
        painter.setBrush(QColor(colours.field))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        painter.setPen(QPen(QColor(colours.border), 1))
        painter.drawLine(QPointF(origin.x(), area.top()), QPointF(origin.x(), area.bottom()))
        painter.drawLine(QPointF(area.left(), origin.y()), QPointF(area.right(), origin.y()))
        painter.setPen(QPen(QColor(colours.faint), 1))
        painter.drawLine(origin, point)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.knob))
        painter.drawEllipse(point, RADIUS, RADIUS)
        painter.end()
