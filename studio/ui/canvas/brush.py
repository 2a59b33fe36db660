"""The mask brush: its tip, and the dabs along a stroke."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QBrush, QColor, QImage, QPainter, QRadialGradient

MIN_SIZE, MAX_SIZE = 1, 1000
"""Smallest and largest diameter in pixels of the picture."""
SPACING = 0.1
"""Distance between two dabs as a fraction of the diameter. It keeps a hard edge smooth to half a pixel."""
MIN_PRESSURE_SIZE = 0.1
"""Fraction of the size at the lightest pressure of a pen."""
_CACHE_SIZE = 24
_tips: OrderedDict[tuple[int, int, bool], QImage] = OrderedDict()


@dataclass(frozen=True)
class Brush:
    """A brush.

    `size` is the diameter in pixels of the picture, `hardness` the fraction of the radius with full strength (0..1).
    """

    size: int = 80
    hardness: float = 0.7
    erases: bool = False

    def larger(self) -> Brush:
        return self._with_size(max(self.size + 1, round(self.size * 1.2)))

    def smaller(self) -> Brush:
        return self._with_size(min(self.size - 1, round(self.size / 1.2)))

    def _with_size(self, size: int) -> Brush:
        return Brush(min(max(size, MIN_SIZE), MAX_SIZE), self.hardness, self.erases)


@dataclass(frozen=True)
class Dab:
    """One touch of the brush: its centre and diameter in pixels of the picture."""

    at: QPointF
    size: float


class Stroke:
    """Turns pointer positions into evenly spaced dabs."""

    def __init__(self, brush: Brush) -> None:
        self.brush = brush
        self._last: QPointF | None = None
        self._pressure = 1.0

    def extend(self, point: QPointF, pressure: float = 1.0) -> list[Dab]:
        """Return the dabs from the last point to this one; the first point gives one dab. `pressure` is 0..1."""
        if self._last is None:
            self._last, self._pressure = QPointF(point), pressure
            return [Dab(QPointF(point), self._size(pressure))]
        offset = point - self._last
        length = math.hypot(offset.x(), offset.y())
        dabs = []
        distance = self._spacing(self._pressure)
        while distance <= length:
            fraction = distance / length
            local_pressure = self._pressure + (pressure - self._pressure) * fraction
            dabs.append(Dab(self._last + offset * fraction, self._size(local_pressure)))
            distance += self._spacing(local_pressure)
        if dabs:
            self._last, self._pressure = QPointF(dabs[-1].at), pressure
        return dabs

    def _size(self, pressure: float) -> float:
        return max(1.0, self.brush.size * (MIN_PRESSURE_SIZE + (1 - MIN_PRESSURE_SIZE) * min(max(pressure, 0.0), 1.0)))

    def _spacing(self, pressure: float) -> float:
        return max(1.0, self._size(pressure) * SPACING)


def make_brush_tip(size: float, hardness: float, *, erases: bool) -> QImage:
    """Return a round tip in 8-bit grey: white on black for painting, black on white for erasing.

    Painting keeps the lighter of mask and tip, erasing the darker, so that the soft edge of a
    stroke is as soft as the edge of one dab.
    """
    key = (round(size), round(hardness * 100), erases)
    if key in _tips:
        _tips.move_to_end(key)
        return _tips[key]
    tip = _draw_tip(max(1, key[0]), hardness, erases)
    _tips[key] = tip
    if len(_tips) > _CACHE_SIZE:
        _tips.popitem(last=False)
    return tip


def _draw_tip(size: int, hardness: float, erases: bool) -> QImage:
    side = size + 2  # one pixel around for the smooth edge
    image = QImage(side, side, QImage.Format.Format_Grayscale8)
    inside, outside = (0, 255) if erases else (255, 0)
    image.fill(QColor(outside, outside, outside))
    middle, radius = QPointF(side / 2, side / 2), size / 2
    gradient = QRadialGradient(middle, radius)
    reach = min(max(hardness, 0.0), 1.0)
    for step in range(9):
        fraction = step / 8
        strength = 0.5 + 0.5 * math.cos(math.pi * fraction)
        grey = round(outside + (inside - outside) * strength)
        gradient.setColorAt(reach + (1 - reach) * fraction, QColor(grey, grey, grey))
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(inside, inside, inside) if reach >= 1 else QBrush(gradient))
    painter.drawEllipse(middle, radius, radius)
    painter.end()
    return image
