"""The brush that masks are painted with: its stamp, and the places along a stroke where it is put down."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QBrush, QColor, QImage, QPainter, QRadialGradient

SMALLEST, LARGEST = 1, 1000
"""Diameters, in pixels of the picture."""
SPACING = 0.1
"""Between two dabs, as a share of the diameter: a hard edge stays smooth to half a pixel."""
FAINTEST = 0.1
"""Share of the size that the lightest touch of a pen leaves."""
_KEPT = 24
_stamps: OrderedDict[tuple[int, int, bool], QImage] = OrderedDict()


@dataclass(frozen=True)
class Brush:
    """`size` is the diameter in pixels of the picture; `hardness` 0..1 is how far the full strength reaches."""

    size: int = 80
    hardness: float = 0.7
    erases: bool = False

    def larger(self) -> Brush:
        return self._sized(max(self.size + 1, round(self.size * 1.2)))

    def smaller(self) -> Brush:
        return self._sized(min(self.size - 1, round(self.size / 1.2)))

    def _sized(self, size: int) -> Brush:
        return Brush(min(max(size, SMALLEST), LARGEST), self.hardness, self.erases)


@dataclass(frozen=True)
class Dab:
    """One touch: where its middle is, and its diameter, in pixels of the picture."""

    at: QPointF
    size: float


class Stroke:
    """Turns the places where a pointer was into evenly spaced dabs."""

    def __init__(self, brush: Brush) -> None:
        self.brush = brush
        self._last: QPointF | None = None
        self._pressure = 1.0

    def to(self, point: QPointF, pressure: float = 1.0) -> list[Dab]:
        """The dabs from the last place to this one; the first place gives one. `pressure` is 0..1."""
        if self._last is None:
            self._last, self._pressure = QPointF(point), pressure
            return [Dab(QPointF(point), self._size(pressure))]
        way = point - self._last
        length = math.hypot(way.x(), way.y())
        dabs = []
        gone = self._step(self._pressure)
        while gone <= length:
            share = gone / length
            felt = self._pressure + (pressure - self._pressure) * share
            dabs.append(Dab(self._last + way * share, self._size(felt)))
            gone += self._step(felt)
        if dabs:
            self._last, self._pressure = QPointF(dabs[-1].at), pressure
        return dabs

    def _size(self, pressure: float) -> float:
        return max(1.0, self.brush.size * (FAINTEST + (1 - FAINTEST) * min(max(pressure, 0.0), 1.0)))

    def _step(self, pressure: float) -> float:
        return max(1.0, self._size(pressure) * SPACING)


def brush_tip(size: float, hardness: float, *, erases: bool) -> QImage:
    """A round spot, white on black for painting and black on white for erasing, in 8-bit grey.

    Painting keeps the lighter of mask and stamp, erasing the darker, so that the soft edge of a
    stroke stays as soft as that of one dab.
    """
    key = (round(size), round(hardness * 100), erases)
    if key in _stamps:
        _stamps.move_to_end(key)
        return _stamps[key]
    made = _drawn(max(1, key[0]), hardness, erases)
    _stamps[key] = made
    if len(_stamps) > _KEPT:
        _stamps.popitem(last=False)
    return made


def _drawn(size: int, hardness: float, erases: bool) -> QImage:
    side = size + 2  # one pixel around for the smooth edge
    image = QImage(side, side, QImage.Format.Format_Grayscale8)
    inside, outside = (0, 255) if erases else (255, 0)
    image.fill(QColor(outside, outside, outside))
    middle, radius = QPointF(side / 2, side / 2), size / 2
    fall = QRadialGradient(middle, radius)
    reach = min(max(hardness, 0.0), 1.0)
    for step in range(9):
        share = step / 8
        strength = 0.5 + 0.5 * math.cos(math.pi * share)
        grey = round(outside + (inside - outside) * strength)
        fall.setColorAt(reach + (1 - reach) * share, QColor(grey, grey, grey))
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(inside, inside, inside) if reach >= 1 else QBrush(fall))
    painter.drawEllipse(middle, radius, radius)
    painter.end()
    return image
