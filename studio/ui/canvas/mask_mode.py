"""Painting a mask over the picture: the pointer becomes a brush, and each stroke can be undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QObject, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPen, QUndoCommand

from studio.ui.canvas.brush import Brush, Stroke
from studio.ui.canvas.feather_preview import FeatherPreview
from studio.ui.canvas.image_view import ImageView
from studio.ui.canvas.mask import InvertCommand, MaskLayer, PaintCommand
from studio.ui.canvas.mask_overlay import paint_striped

FEATHER = 200
"""The widest, in pixels of the picture."""
FIRST_SIZE = 14
"""The first brush is this part of the picture's longer side."""
RIM = 3
"""Logical pixels around the ring that shows the brush."""


class MaskMode(QObject):
    """Off until `begin`. It holds the brush, and keeps it from one mask to the next."""

    changed = Signal()
    """The mask was painted, or its feather moved."""
    settings_changed = Signal()
    """Brush or feather."""
    switched = Signal(bool)

    def __init__(self, surface: ImageView, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.cursor = Qt.CursorShape.BlankCursor
        self.brush = Brush()
        self.feather = 0
        self.layer: MaskLayer | None = None
        self.push: Callable[[QUndoCommand], None] = lambda command: command.redo()
        """Where steps go that can be undone; `Session.undo.push` in the window."""
        self.undone: Callable[[MaskLayer, QRect], None] = self.show_change
        """Hears of each undo and redo, of masks that were painted before too."""
        self._surface = surface
        self._soft = FeatherPreview(self, surface.update)
        self._stroke: Stroke | None = None
        self._pen: QPointF | None = None
        self._ended = QPointF()
        self._sized_for = QSize()

    @property
    def on(self) -> bool:
        return self.layer is not None

    def begin(self, layer: MaskLayer, feather: int) -> None:
        """The surface shows the picture that the mask is for."""
        self.layer, self.feather = layer, feather
        self._ended = QPointF()
        if layer.size != self._sized_for:
            self._sized_for = layer.size
            longer = max(layer.size.width(), layer.size.height())
            self.brush = replace(self.brush, size=max(4, longer // FIRST_SIZE))
        self.brush = replace(self.brush, erases=False)
        self._surface.set_pointer_tool(self)
        self._soften()
        self.settings_changed.emit()
        self.switched.emit(True)

    def end(self) -> None:
        if self.layer is not None:
            self.release()
            self.layer, self._pen = None, None
            self._soft.forget()
            self._surface.set_pointer_tool(None)
            self.switched.emit(False)

    def close(self) -> None:
        self._soft.close()

    # The brush
    def set_brush(self, brush: Brush) -> None:
        if brush != self.brush:
            self._see_ring()
            self.brush = brush
            self._see_ring()
            self.settings_changed.emit()

    def paint(self) -> None:
        """The brush instead of the eraser."""
        self.set_brush(replace(self.brush, erases=False))

    def set_feather(self, feather: int) -> None:
        if feather != self.feather:
            self.feather = min(max(feather, 0), FEATHER)
            self._soften()
            self.settings_changed.emit()
            self.changed.emit()

    # The whole mask
    def invert(self) -> None:
        if self.layer is not None:
            self.push(InvertCommand(self.layer, self._stepped))

    def clear(self) -> None:
        if self.layer is not None and not self.layer.empty:
            self.layer.fill(0)
            self.push(PaintCommand("clearing the mask", self.layer, self._stepped))
            self.show_change(self.layer, self.layer.image.rect())

    def show_change(self, layer: MaskLayer, rect: QRect) -> None:
        """`rect` of the mask looks different now."""
        if layer is self.layer:
            self._repaint(rect)
            self._soften()
            self.changed.emit()

    def _stepped(self, layer: MaskLayer, rect: QRect) -> None:
        self.undone(layer, rect)

    # The pointer
    def press(self, at: QPointF, pressure: float = 1.0, *, straight: bool = False, erases: bool = False) -> None:
        if self.layer is None:
            return
        self.release()
        self._stroke = Stroke(replace(self.brush, erases=self.brush.erases or erases))
        self._soft.forget()
        if straight and not self._ended.isNull():
            self._stroke.to(self._ended, pressure)
        self.move(at, pressure)

    def move(self, at: QPointF, pressure: float = 1.0) -> None:
        self._see_ring()
        self._pen = at
        self._see_ring()
        if self.layer is not None and self._stroke is not None:
            self._ended = self._surface.camera.to_picture(at)
            dabs = self._stroke.to(self._ended, pressure)
            self._repaint(self.layer.put_down(self._stroke.brush, dabs))

    def release(self) -> None:
        stroke, self._stroke = self._stroke, None
        if stroke is not None and self.layer is not None:
            text = "erasing from the mask" if stroke.brush.erases else "painting the mask"
            command = PaintCommand(text, self.layer, self._stepped)
            if command.touched:
                self.push(command)
                self.changed.emit()
            self._soften()

    def leave(self) -> None:
        self._see_ring()
        self._pen = None

    # Drawing
    def draw(self, painter: QPainter, frame: QRectF, visible: QRectF, zoom: float) -> None:
        if self.layer is None:
            return
        with paint_striped(painter, frame, visible) as over:
            if self._soft.ready:
                self._soft.draw(over, frame, visible)
            else:
                self.layer.draw(over, frame, visible, zoom)
        if self._pen is not None:
            self._draw_ring(painter, self._pen)

    def _draw_ring(self, painter: QPainter, at: QPointF) -> None:
        """Dark and light, to be seen on every picture."""
        radius = self._radius()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for colour, width in ((QColor(0, 0, 0, 150), 3.0), (QColor(255, 255, 255, 230), 1.25)):
            painter.setPen(QPen(colour, width))
            painter.drawEllipse(at, radius, radius)
            if radius < 4:  # too small to be found
                for way in (QPointF(1, 0), QPointF(-1, 0), QPointF(0, 1), QPointF(0, -1)):
                    painter.drawLine(at + way * 6, at + way * 10)
        painter.restore()

    def _radius(self) -> float:
        return max(1.0, self.brush.size * self._scale() / 2)

    def _scale(self) -> float:
        return self._surface.camera.zoom / self._surface.devicePixelRatioF()

    def _see_ring(self) -> None:
        if self._pen is not None:
            reach = max(self._radius(), 10) + RIM
            around = QRectF(self._pen.x() - reach, self._pen.y() - reach, 2 * reach, 2 * reach)
            self._surface.update(around.toAlignedRect())

    def _repaint(self, rect: QRect) -> None:
        """`rect` in pixels of the picture."""
        if rect.isEmpty():
            return
        corner = self._surface.camera.frame.topLeft()
        scale = self._scale()
        shown = QRectF(
            corner.x() + rect.left() * scale, corner.y() + rect.top() * scale, rect.width() * scale,
            rect.height() * scale,
        )  # fmt: skip
        edge = max(2, round(2 * scale))  # what is drawn smoothly spreads to its neighbours
        self._surface.update(shown.toAlignedRect().adjusted(-edge, -edge, edge, edge))

    def _soften(self) -> None:
        """The feather is shown between the strokes."""
        if self.layer is not None and self.feather > 0 and self._stroke is None:
            self._soft.ask(self.layer, self.feather)
        else:
            self._soft.forget()
