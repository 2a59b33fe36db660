"""Mask painting: the pointer becomes a brush, and each stroke can be undone."""

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

MAX_FEATHER = 200
"""Largest mask blur in pixels of the picture."""
BRUSH_DIVISOR = 14
"""The initial brush size is the picture's longer side divided by this."""
RING_MARGIN = 3
"""Margin in logical pixels around the ring that shows the brush."""


class MaskMode(QObject):
    """A pointer tool that paints on a mask between `begin` and `end`. The brush is kept for the next mask."""

    changed = Signal()
    """Emitted when the mask or its blur has changed."""
    settings_changed = Signal()
    """Emitted when the brush or the blur has changed."""
    switched = Signal(bool)

    def __init__(self, view: ImageView, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.cursor = Qt.CursorShape.BlankCursor
        self.brush = Brush()
        self.feather = 0
        self.layer: MaskLayer | None = None
        self.push_command: Callable[[QUndoCommand], None] = lambda command: command.redo()
        """Function that takes undo commands; `Session.undo.push` in the window."""
        self.on_undo: Callable[[MaskLayer, QRect], None] = self.show_change
        """Function that is called after each undo and redo, also of masks that are closed."""
        self._view = view
        self._feather_preview = FeatherPreview(self, view.update)
        self._stroke: Stroke | None = None
        self._pointer: QPointF | None = None
        self._stroke_end = QPointF()
        self._brush_size_for = QSize()

    @property
    def is_active(self) -> bool:
        return self.layer is not None

    def begin(self, layer: MaskLayer, feather: int) -> None:
        """Start painting on `layer`. The view already shows its picture."""
        self.layer, self.feather = layer, feather
        self._stroke_end = QPointF()
        if layer.size != self._brush_size_for:
            self._brush_size_for = layer.size
            longer = max(layer.size.width(), layer.size.height())
            self.brush = replace(self.brush, size=max(4, longer // BRUSH_DIVISOR))
        self.brush = replace(self.brush, erases=False)
        self._view.set_pointer_tool(self)
        self._update_feather()
        self.settings_changed.emit()
        self.switched.emit(True)

    def end(self) -> None:
        if self.layer is not None:
            self.release()
            self.layer, self._pointer = None, None
            self._feather_preview.clear()
            self._view.set_pointer_tool(None)
            self.switched.emit(False)

    def close(self) -> None:
        self._feather_preview.close()

    # The brush
    def set_brush(self, brush: Brush) -> None:
        if brush != self.brush:
            self._update_ring()
            self.brush = brush
            self._update_ring()
            self.settings_changed.emit()

    def select_brush(self) -> None:
        """Select the brush in place of the eraser."""
        self.set_brush(replace(self.brush, erases=False))

    def set_feather(self, feather: int) -> None:
        if feather != self.feather:
            self.feather = min(max(feather, 0), MAX_FEATHER)
            self._update_feather()
            self.settings_changed.emit()
            self.changed.emit()

    # The whole mask
    def invert(self) -> None:
        if self.layer is not None:
            self.push_command(InvertCommand(self.layer, self._on_command))

    def clear(self) -> None:
        if self.layer is not None and not self.layer.is_empty:
            self.layer.fill(0)
            self.push_command(PaintCommand("clearing the mask", self.layer, self._on_command))
            self.show_change(self.layer, self.layer.image.rect())

    def show_change(self, layer: MaskLayer, rect: QRect) -> None:
        """Repaint `rect` of the mask."""
        if layer is self.layer:
            self._repaint(rect)
            self._update_feather()
            self.changed.emit()

    def _on_command(self, layer: MaskLayer, rect: QRect) -> None:
        self.on_undo(layer, rect)

    # The pointer
    def press(self, at: QPointF, pressure: float = 1.0, *, straight: bool = False, erases: bool = False) -> None:
        if self.layer is None:
            return
        self.release()
        self._stroke = Stroke(replace(self.brush, erases=self.brush.erases or erases))
        self._feather_preview.clear()
        if straight and not self._stroke_end.isNull():
            self._stroke.extend(self._stroke_end, pressure)
        self.move(at, pressure)

    def move(self, at: QPointF, pressure: float = 1.0) -> None:
        self._update_ring()
        self._pointer = at
        self._update_ring()
        if self.layer is not None and self._stroke is not None:
            self._stroke_end = self._view.camera.to_picture(at)
            dabs = self._stroke.extend(self._stroke_end, pressure)
            self._repaint(self.layer.paint(self._stroke.brush, dabs))

    def release(self) -> None:
        stroke, self._stroke = self._stroke, None
        if stroke is not None and self.layer is not None:
            text = "erasing from the mask" if stroke.brush.erases else "painting the mask"
            command = PaintCommand(text, self.layer, self._on_command)
            if command.has_changes:
                self.push_command(command)
                self.changed.emit()
            self._update_feather()

    def leave(self) -> None:
        self._update_ring()
        self._pointer = None

    # Drawing
    def draw(self, painter: QPainter, frame: QRectF, visible: QRectF, zoom: float) -> None:
        if self.layer is None:
            return
        with paint_striped(painter, frame, visible) as over:
            if self._feather_preview.ready:
                self._feather_preview.draw(over, frame, visible)
            else:
                self.layer.draw(over, frame, visible, zoom)
        if self._pointer is not None:
            self._draw_ring(painter, self._pointer)

    def _draw_ring(self, painter: QPainter, at: QPointF) -> None:
        """Draw the outline of the brush in dark and light, visible on every picture."""
        radius = self._radius()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for colour, width in ((QColor(0, 0, 0, 150), 3.0), (QColor(255, 255, 255, 230), 1.25)):
            painter.setPen(QPen(colour, width))
            painter.drawEllipse(at, radius, radius)
            if radius < 4:  # too small to see
                for direction in (QPointF(1, 0), QPointF(-1, 0), QPointF(0, 1), QPointF(0, -1)):
                    painter.drawLine(at + direction * 6, at + direction * 10)
        painter.restore()

    def _radius(self) -> float:
        return max(1.0, self.brush.size * self._scale() / 2)

    def _scale(self) -> float:
        return self._view.camera.zoom / self._view.devicePixelRatioF()

    def _update_ring(self) -> None:
        if self._pointer is not None:
            reach = max(self._radius(), 10) + RING_MARGIN
            around = QRectF(self._pointer.x() - reach, self._pointer.y() - reach, 2 * reach, 2 * reach)
            self._view.update(around.toAlignedRect())

    def _repaint(self, rect: QRect) -> None:
        """Repaint a rectangle in pixels of the picture."""
        if rect.isEmpty():
            return
        corner = self._view.camera.frame.topLeft()
        scale = self._scale()
        shown = QRectF(
            corner.x() + rect.left() * scale, corner.y() + rect.top() * scale, rect.width() * scale,
            rect.height() * scale,
        )  # fmt: skip
        edge = max(2, round(2 * scale))  # smooth scaling reaches neighbouring pixels
        self._view.update(shown.toAlignedRect().adjusted(-edge, -edge, edge, edge))

    def _update_feather(self) -> None:
        """Show the mask with its blur between strokes."""
        if self.layer is not None and self.feather > 0 and self._stroke is None:
            self._feather_preview.request(self.layer, self.feather)
        else:
            self._feather_preview.clear()
