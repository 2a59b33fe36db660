"""Stripes over a mask, so that it is visible on a picture of its own colour."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QImage, QPainter, QPen, QPixmap

PERIOD = 8
"""Distance of two stripes along a side, in logical pixels."""
DARK = QColor(0, 0, 0, 70)


@contextmanager
def paint_striped(painter: QPainter, frame: QRectF, visible: QRectF) -> Iterator[QPainter]:
    """Yield a painter with the same coordinates. Its drawing is striped and painted over the picture."""
    part = frame.intersected(visible).toAlignedRect()
    ratio = painter.device().devicePixelRatio()
    layer = QImage(
        math.ceil(part.width() * ratio), math.ceil(part.height() * ratio), QImage.Format.Format_ARGB32_Premultiplied
    )
    if layer.isNull():
        yield painter
        return
    layer.setDevicePixelRatio(ratio)
    layer.fill(Qt.GlobalColor.transparent)
    over = QPainter(layer)
    over.translate(-part.x(), -part.y())
    yield over
    over.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceAtop)
    over.setBrushOrigin(frame.topLeft())
    over.fillRect(part, _make_stripes())
    over.end()
    painter.drawImage(part.topLeft(), layer)


def _make_stripes() -> QBrush:
    tile = QPixmap(PERIOD, PERIOD)
    tile.fill(Qt.GlobalColor.transparent)
    painter = QPainter(tile)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(DARK, 2))
    for start in (-PERIOD, 0, PERIOD):
        painter.drawLine(start - 2, PERIOD + 2, start + PERIOD + 2, -2)
    painter.end()
    return QBrush(tile)
