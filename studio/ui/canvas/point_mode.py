"""Setting points: each drag on the picture is an arrow from a handle to its target."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QLineF, QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QAction, QColor, QKeySequence, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from studio.core.point_pairs import PointPair
from studio.ui.canvas.image_view import ImageView

GRAB = 12.0
"""Distance in logical pixels within which a point is taken."""
MIN_LENGTH = 6.0
"""Shortest arrow in logical pixels; a click without a drag sets none."""
RADIUS, HEAD = 5.0, 11.0
HANDLE, TARGET = QColor(224, 72, 72), QColor(72, 132, 240)


class PointMode(QObject):
    """A pointer tool that sets pairs of points between `begin` and `end`."""

    edited = Signal(list)
    """Emitted with all pairs when the artist has set, moved or removed one."""
    switched = Signal(bool)

    def __init__(self, view: ImageView, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.cursor = Qt.CursorShape.CrossCursor
        self.pairs: list[PointPair] = []
        self.is_active = False
        self._view = view
        self._limit: int | None = None
        self._grabbed: tuple[int, int] | None = None
        """Number of the pair that is dragged, and 0 for its handle or 1 for its target."""
        self._before: list[PointPair] = []

    def add_finish_key(self, owner: QWidget) -> None:
        """Let Escape end it while it is active."""
        finish = QAction("Finish points", owner)
        finish.setShortcut(QKeySequence(Qt.Key.Key_Escape))
        finish.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
        finish.setEnabled(False)
        finish.triggered.connect(self.end)
        self.switched.connect(finish.setEnabled)
        owner.addAction(finish)

    def begin(self, pairs: Sequence[PointPair], limit: int | None) -> None:
        """Start with these pairs. The view already shows the picture. `limit` is the largest number of pairs."""
        self.pairs, self._limit, self.is_active = [*pairs], limit, True
        self._view.set_pointer_tool(self)
        self._view.update()
        self.switched.emit(True)

    def end(self) -> None:
        if self.is_active:
            self._grabbed, self.is_active = None, False
            self._view.set_pointer_tool(None)
            self._view.update()
            self.switched.emit(False)

    def show_pairs(self, pairs: Sequence[PointPair]) -> None:
        """Show other pairs, such as after an undo."""
        if self._grabbed is None:
            self.pairs = [*pairs]
            self._view.update()

    # The pointer
    def press(self, at: QPointF, pressure: float = 1.0, *, straight: bool = False, erases: bool = False) -> None:
        self._before = [*self.pairs]
        found = self._find(at)
        if found is not None and erases:
            del self.pairs[found[0]]
            self._finish()
            return
        if found is None:
            if self._limit is not None and len(self.pairs) >= self._limit:
                return
            point = self._to_fraction(at)
            self.pairs.append(PointPair(point, point))
            found = len(self.pairs) - 1, 1
        self._grabbed = found
        self._view.update()

    def move(self, at: QPointF, pressure: float = 1.0) -> None:
        if self._grabbed is not None:
            number, end = self._grabbed
            point, pair = self._to_fraction(at), self.pairs[number]
            self.pairs[number] = PointPair(point, pair.target) if end == 0 else PointPair(pair.handle, point)
            self._view.update()

    def release(self) -> None:
        if self._grabbed is None:
            return
        number, self._grabbed = self._grabbed[0], None
        line = self._line(self.pairs[number])
        if line.length() < MIN_LENGTH:
            del self.pairs[number]
        self._finish()

    def leave(self) -> None:
        """Do nothing: nothing follows the pointer while it is not pressed."""

    def _finish(self) -> None:
        self._view.update()
        if self.pairs != self._before:
            self.edited.emit([*self.pairs])

    def _find(self, at: QPointF) -> tuple[int, int] | None:
        """Return the point near a place, targets first, since they are on top."""
        for end in (1, 0):
            for number in reversed(range(len(self.pairs))):
                point = self._to_widget(self.pairs[number][end])
                if math.hypot(point.x() - at.x(), point.y() - at.y()) <= GRAB:
                    return number, end
        return None

    def _to_fraction(self, at: QPointF) -> tuple[float, float]:
        frame = self._view.camera.frame
        x = (at.x() - frame.left()) / max(1.0, frame.width())
        y = (at.y() - frame.top()) / max(1.0, frame.height())
        return min(1.0, max(0.0, x)), min(1.0, max(0.0, y))

    def _to_widget(self, point: tuple[float, float]) -> QPointF:
        frame = self._view.camera.frame
        return QPointF(frame.left() + point[0] * frame.width(), frame.top() + point[1] * frame.height())

    def _line(self, pair: PointPair) -> QLineF:
        return QLineF(self._to_widget(pair.handle), self._to_widget(pair.target))

    # Drawing
    def draw(self, painter: QPainter, frame: QRectF, visible: QRectF, zoom: float) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for pair in self.pairs:
            self._draw_arrow(painter, self._line(pair))
        painter.restore()

    def _draw_arrow(self, painter: QPainter, line: QLineF) -> None:
        """Draw an arrow in white with a dark edge, its handle in red and its target in blue."""
        for colour, width in ((QColor(0, 0, 0, 160), 4.0), (QColor(255, 255, 255), 2.0)):
            painter.setPen(QPen(colour, width, c=Qt.PenCapStyle.RoundCap))
            painter.drawLine(line)
        painter.setPen(QPen(QColor(255, 255, 255), 1.5))
        painter.setBrush(HANDLE)
        painter.drawEllipse(line.p1(), RADIUS, RADIUS)
        painter.setBrush(TARGET)
        if line.length() < 1:
            return
        back = QLineF(line.p2(), line.p1())
        corners = [line.p2()]
        for turn in (-28.0, 28.0):
            side = QLineF(back)
            side.setAngle(back.angle() + turn)
            side.setLength(HEAD)
            corners.append(side.p2())
        painter.drawPolygon(QPolygonF(corners))
