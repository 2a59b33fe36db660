"""A plot of the measures of a training over its steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.core.humanize import group_digits
from studio.state.jobs.training_monitor import MeasureSeries
from studio.ui.theme import theme

LINE_COLOURS = ("#e06c3c", "#4a90d9", "#5aaa5a", "#b565b5", "#c8a832", "#3fb0ac")
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 56, 12, 28, 24
MAX_POINTS = 1500
"""Number of points of a line that are painted; more are averaged."""


@dataclass(frozen=True)
class Axis:
    """The range of an axis, linear or logarithmic."""

    low: float
    high: float
    is_log: bool = False

    def position(self, value: float) -> float:
        """Return the position of a value, 0 at the low end and 1 at the high end."""
        if self.is_log:
            low, high = math.log10(self.low), math.log10(self.high)
            return (math.log10(max(value, 1e-30)) - low) / max(high - low, 1e-12)
        return (value - self.low) / max(self.high - self.low, 1e-12)

    def ticks(self, count: int = 5) -> list[float]:
        """Return about `count` round values on the axis."""
        if self.is_log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            values = [10.0**power for power in range(first, last + 1)]
            if last - first <= 2:
                values = sorted([scale * value for value in values for scale in (1, 2, 5)])
            return [value for value in values if self.low <= value <= self.high][:: max(1, len(values) // (2 * count))]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        raw = span / count
        power = 10 ** math.floor(math.log10(raw))
        step = next(scale * power for scale in (1, 2, 5, 10) if scale * power >= raw)
        first = math.ceil(self.low / step)
        return [number * step for number in range(first, math.floor(self.high / step) + 1)]


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """Return the exponential moving average, corrected for its start. `weight` is from 0 (none) to below 1."""
    smoothed, mean, total = [], 0.0, 0.0
    for value in values:
        mean = weight * mean + (1 - weight) * value
        total = weight * total + (1 - weight)
        smoothed.append(mean / total)
    return smoothed


def thin_out(steps: Sequence[int], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Average neighbours, so that at most `MAX_POINTS` points remain."""
    stride = -(-len(steps) // MAX_POINTS)
    if stride <= 1:
        return [float(step) for step in steps], list(values)
    starts = range(0, len(steps), stride)
    return (
        [sum(steps[start : start + stride]) / len(steps[start : start + stride]) for start in starts],
        [sum(values[start : start + stride]) / len(values[start : start + stride]) for start in starts],
    )


MAX_TICKS = 5
TICK_HEIGHT = 20
"""Height in px that a label of the value axis needs."""


class MeasurePlot(QWidget):
    """Plots measures that share a scale, with a legend and the values under the pointer."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title
        self.is_log, self.smoothing = False, 0.0
        self.step: int | None = None
        """A step that is marked, such as that of the preview."""
        self._series: dict[str, MeasureSeries] = {}
        self._last_step = 0
        self._pointer: float | None = None
        self.setMouseTracking(True)
        self.setAccessibleName(title)
        self.setMinimumHeight(84)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        return QSize(420, 180)

    def set_series(self, series: Mapping[str, MeasureSeries], last_step: int) -> None:
        """Plot these measures, on an axis from 0 to `last_step`."""
        self._series, self._last_step = dict(series), last_step
        latest = ", ".join(f"{name} {one.values[-1]:.4g}" for name, one in self._series.items() if one.values)
        self.setAccessibleDescription(latest)
        self.update()

    def set_options(self, *, is_log: bool, smoothing: float) -> None:
        self.is_log, self.smoothing = is_log, smoothing
        self.update()

    def mark_step(self, step: int | None) -> None:
        self.step = step
        self.update()

    def lines(self) -> dict[str, tuple[list[float], list[float]]]:
        """Return the points of each line as they are painted."""
        lines = {}
        for name, series in self._series.items():
            values = smooth(series.values, self.smoothing) if self.smoothing else series.values
            lines[name] = thin_out(series.steps, values)
        return lines

    def value_axis(self, lines: Mapping[str, tuple[list[float], list[float]]]) -> Axis:
        """Return an axis for the values, without the highest two percent, which the first steps often are."""
        values = sorted(value for _, column in lines.values() for value in column)
        positive = [value for value in values if value > 0]
        is_log = self.is_log and bool(positive)
        if is_log:
            values = positive
        if not values:
            return Axis(0.0, 1.0)
        low, high = values[0], values[min(len(values) - 1, math.ceil(0.98 * len(values)))]
        if is_log:
            return Axis(low / 1.05, max(high * 1.05, low * 1.2), is_log=True)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
        return Axis(low - margin, high + margin)

    def paintEvent(self, event: QPaintEvent) -> None:
        del event
        colours = theme.COLOURS
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(colours.field))
        area = QRectF(self.rect()).adjusted(MARGIN_LEFT, MARGIN_TOP, -MARGIN_RIGHT, -MARGIN_BOTTOM)
        lines = self.lines()
        values = self.value_axis(lines)
        across = Axis(0.0, max(self._last_step, 1.0))
        painter.setFont(theme.font(theme.CAPTION))
        self._paint_axes(painter, area, across, values)
        painter.save()
        painter.setClipRect(area)
        for number, (columns, heights) in enumerate(lines.values()):
            points = [
                QPointF(
                    area.left() + across.position(x) * area.width(), area.bottom() - values.position(y) * area.height()
                )
                for x, y in zip(columns, heights, strict=True)
            ]
            painter.setPen(QPen(_line_colour(number), 1.6))
            if len(points) == 1:
                painter.drawEllipse(points[0], 2, 2)
            painter.drawPolyline(QPolygonF(points))
        painter.restore()
        self._paint_marks(painter, area, across)
        self._paint_legend(painter, lines, across, area)

    def _paint_axes(self, painter: QPainter, area: QRectF, across: Axis, values: Axis) -> None:
        colours = theme.COLOURS
        align = Qt.AlignmentFlag
        for value in values.ticks(max(1, min(MAX_TICKS, int(area.height() // TICK_HEIGHT)))):
            y = area.bottom() - values.position(value) * area.height()
            painter.setPen(QColor(colours.border))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(QColor(colours.dim))
            label = QRectF(0, y - 8, MARGIN_LEFT - 6, 16)
            painter.drawText(label, align.AlignRight | align.AlignVCenter, f"{value:.4g}")
        for value in across.ticks(6):
            x = area.left() + across.position(value) * area.width()
            painter.setPen(QColor(colours.dim))
            label = QRectF(x - 40, area.bottom() + 4, 80, 16)
            painter.drawText(label, align.AlignHCenter | align.AlignTop, group_digits(round(value)))

    def _paint_marks(self, painter: QPainter, area: QRectF, across: Axis) -> None:
        if self.step is not None:
            x = area.left() + across.position(self.step) * area.width()
            painter.setPen(QPen(QColor(theme.COLOURS.dim), 1, Qt.PenStyle.DashLine))
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        if self._pointer is not None and area.left() <= self._pointer <= area.right():
            painter.setPen(QColor(theme.COLOURS.faint))
            painter.drawLine(QPointF(self._pointer, area.top()), QPointF(self._pointer, area.bottom()))

    def _paint_legend(
        self,
        painter: QPainter,
        lines: Mapping[str, tuple[list[float], list[float]]],
        across: Axis,
        area: QRectF,
    ) -> None:
        """Paint the names with their values, under the pointer or else the last ones."""
        at = None
        if self._pointer is not None and area.width() > 0:
            at = across.high * (self._pointer - area.left()) / area.width()
        x = float(MARGIN_LEFT)
        for number, (name, (steps, values)) in enumerate(lines.items()):
            if not values:
                continue
            index = len(steps) - 1 if at is None else min(range(len(steps)), key=lambda i: abs(steps[i] - at))
            text = f"{name} {values[index]:.4g}" + (
                f" at {group_digits(round(steps[index]))}" if at is not None else ""
            )
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(_line_colour(number))
            painter.drawEllipse(QPointF(x + 4, 14), 4, 4)
            painter.setPen(QColor(theme.COLOURS.text))
            width = painter.fontMetrics().horizontalAdvance(text)
            painter.drawText(QPointF(x + 14, 18), text)
            x += width + 30
        painter.setBrush(Qt.BrushStyle.NoBrush)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._pointer = event.position().x()
        self.update()

    def leaveEvent(self, event: object) -> None:
        del event
        self._pointer = None
        self.update()


def _line_colour(number: int) -> QColor:
    return QColor(LINE_COLOURS[number % len(LINE_COLOURS)])
