"""What works on the picture with the pointer, where otherwise one only looks."""

from __future__ import annotations

from typing import Protocol

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter


class PointerTool(Protocol):
    """Given to a `Surface`. Points are in its coordinates; `pressure` is 0..1, and 1 for a mouse."""

    cursor: Qt.CursorShape

    def press(self, at: QPointF, pressure: float = 1.0, *, straight: bool = False, erases: bool = False) -> None:
        """`straight` goes there from where the last stroke ended; `erases` for the other end of a pen."""

    def move(self, at: QPointF, pressure: float = 1.0) -> None:
        """Also while nothing is pressed."""

    def release(self) -> None: ...

    def leave(self) -> None:
        """The pointer is elsewhere."""

    def draw(self, painter: QPainter, frame: QRectF, visible: QRectF, zoom: float) -> None:
        """Over the picture, which fills `frame`."""
