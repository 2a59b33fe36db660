"""Stripes over what is painted, so that a mask is seen on a picture of its own colour too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QImage, QPainter, QPen, QPixmap

PERIOD = 8
"""Logical pixels from one stripe to the next, along a side."""
DARK = QColor(0, 0, 0, 70)


@contextmanager
def paint_striped(painter: QPainter, frame: QRectF, visible: QRectF) -> Iterator[QPainter]:
    """Yields a painter for the same coordinates; what it painted is striped and laid over the picture."""
    part = frame.intersected(visible).toAlignedRect()
    ratio = painter.device().devicePixelRatio()
    sheet = QImage(
        math.ceil(part.width() * ratio), math.ceil(part.height() * ratio), QImage.Format.Format_ARGB32_Premultiplied
    )
    if sheet.isNull():
        yield painter
        return
    sheet.setDevicePixelRatio(ratio)
    sheet.fill(Qt.GlobalColor.transparent)
    over = QPainter(sheet)
    over.translate(-part.x(), -part.y())
    yield over
    over.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceAtop)
    over.setBrushOrigin(frame.topLeft())
    over.fillRect(part, _stripes())
    over.end()
    painter.drawImage(part.topLeft(), sheet)


def _stripes() -> QBrush:
    tile = QPixmap(PERIOD, PERIOD)
    tile.fill(Qt.GlobalColor.transparent)
    painter = QPainter(tile)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(DARK, 2))
    for start in (-PERIOD, 0, PERIOD):
        painter.drawLine(start - 2, PERIOD + 2, start + PERIOD + 2, -2)
    painter.end()
    return QBrush(tile)
