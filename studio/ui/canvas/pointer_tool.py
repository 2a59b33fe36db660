"""The interface of tools that use the pointer on the image view."""

from __future__ import annotations

from typing import Protocol

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter


class PointerTool(Protocol):
    """A tool for `ImageView`. Points are in its coordinates; `pressure` is 0..1, and 1 for a mouse."""

    cursor: Qt.CursorShape

    def press(self, at: QPointF, pressure: float = 1.0, *, straight: bool = False, erases: bool = False) -> None:
        """Start a stroke. `straight` draws a line from the end of the last stroke; `erases` is for a pen's eraser."""

    def move(self, at: QPointF, pressure: float = 1.0) -> None:
        """Move the pointer, pressed or not."""

    def release(self) -> None: ...

    def leave(self) -> None:
        """Handle that the pointer has left the view."""

    def draw(self, painter: QPainter, frame: QRectF, visible: QRectF, zoom: float) -> None:
        """Draw over the picture, which fills `frame`."""
