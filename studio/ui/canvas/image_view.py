"""The view of a picture: zoom, pan, comparison and pointer tools."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QEnterEvent,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPointingDevice,
    QResizeEvent,
    QTabletEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from studio.ui.canvas.camera import Camera
from studio.ui.canvas.image_pyramid import ImagePyramid
from studio.ui.canvas.pointer_tool import PointerTool
from studio.ui.theme import theme

MARGINS = (32, 64, 32, 32)
"""Margins of a fitted picture: left, top (for the bar), right and bottom, in logical pixels."""
ZOOM_STEP = 1.25
"""Zoom factor of one notch of the wheel."""
PAN_STEP = 64
GRIP_RADIUS = 15
"""Radius of the divider's handle in logical pixels."""


class ImageView(QWidget):
    """Shows one picture, or two with a divider between them."""

    zoomed = Signal(float)
    """Emitted with the zoom, in device pixels per picture pixel."""
    space_tapped = Signal()
    """Emitted when Space is released without a drag."""
    painted = Signal()
    """Emitted after the view has painted its picture."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Image")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.camera = Camera()
        self.top_margin, self.bottom_margin = MARGINS[1], MARGINS[3]
        self.caption = ""
        """A label in the corner: "Preview" or "Opening…"."""
        self.labels = ("Before", "After")
        self._picture: ImagePyramid | None = None
        self._before: ImagePyramid | None = None
        self._divider = 0.5
        self._is_space_pressed = False
        self._dragged_with_space = False
        self._drag: QPointF | None = None
        self._moving_divider = False
        self._pointer_tool: PointerTool | None = None

    @property
    def picture(self) -> ImagePyramid | None:
        return self._picture

    @property
    def is_comparing(self) -> bool:
        return self._before is not None

    @property
    def divider(self) -> float:
        """Position of the divider: 0 at the left edge, 1 at the right."""
        return self._divider

    @divider.setter
    def divider(self, place: float) -> None:
        self._divider = min(max(place, 0.0), 1.0)
        self.update()

    def show_picture(self, picture: ImagePyramid | None) -> None:
        """Show a picture. One of the same aspect ratio keeps the zoom and the position."""
        self._picture = picture
        if picture is None:
            self.camera.is_fitted = True
        else:
            self.camera.set_picture_size(QSizeF(picture.size))
        self._update_view()

    def compare_with(self, before: ImagePyramid | None) -> None:
        self._before = before
        self.update()
        self._update_cursor(self.mapFromGlobal(self.cursor().pos()))

    def set_pointer_tool(self, tool: PointerTool | None) -> None:
        """Give the left button to a tool; None gives it back to viewing."""
        self._pointer_tool = tool
        self.update()
        self._update_cursor(self.mapFromGlobal(self.cursor().pos()))

    def set_caption(self, caption: str) -> None:
        if caption != self.caption:
            self.caption = caption
            self.update()

    def set_bottom_margin(self, margin: int) -> None:
        self.bottom_margin = margin
        self._update_camera()

    def set_top_margin(self, margin: int) -> None:
        if margin != self.top_margin:
            self.top_margin = margin
            self._update_camera()

    def fit(self) -> None:
        self.camera.fit()
        self._update_view()

    def zoom_to(self, zoom: float) -> None:
        self.camera.zoom_to(zoom)
        self._update_view()

    def zoom_by(self, factor: float) -> None:
        self.camera.zoom_by(factor)
        self._update_view()

    # Drawing
    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(event.rect(), QColor(theme.COLOURS.canvas))
        if self._picture is None:
            return
        frame = self.camera.frame
        visible = QRectF(event.rect())
        if self._before is None:
            self._draw(painter, self._picture, frame, visible)
        else:
            self._draw_both(painter, self._picture, self._before, frame, visible)
        if self._pointer_tool is not None:
            self._pointer_tool.draw(painter, frame, visible, self.camera.zoom)
        if self.caption:
            _draw_label(painter, self.caption, frame.intersected(self._label_area()), Qt.AlignmentFlag.AlignLeft)
        painter.end()
        self.painted.emit()

    def _draw(self, painter: QPainter, picture: ImagePyramid, frame: QRectF, visible: QRectF) -> None:
        if picture.has_alpha:
            painter.save()
            painter.setBrushOrigin(frame.topLeft())
            painter.fillRect(frame.intersected(visible), _make_checkerboard())
            painter.restore()
        zoom = frame.width() / picture.size.width() * self.devicePixelRatioF()
        picture.draw(painter, frame, visible, zoom)

    def _draw_both(
        self, painter: QPainter, after: ImagePyramid, before: ImagePyramid, frame: QRectF, visible: QRectF
    ) -> None:
        x = self._divider_x()
        left = QRectF(frame.left(), frame.top(), x - frame.left(), frame.height())
        right = QRectF(x, frame.top(), frame.right() - x, frame.height())
        for picture, side in ((before, left), (after, right)):
            painter.save()
            painter.setClipRect(side)
            self._draw(painter, picture, frame, visible.intersected(side))
            painter.restore()
        inner = self._label_area()
        _draw_label(painter, self.labels[0], left.intersected(inner), Qt.AlignmentFlag.AlignLeft)
        _draw_label(painter, self.labels[1], right.intersected(inner), Qt.AlignmentFlag.AlignRight)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        top, bottom = max(frame.top() - 12, 0.0), min(frame.bottom() + 12, float(self.height()))
        painter.setPen(QPen(QColor(0, 0, 0, 90), 3))
        painter.drawLine(QPointF(x, top), QPointF(x, bottom))
        painter.setPen(QPen(QColor("white"), 1))
        painter.drawLine(QPointF(x, top), QPointF(x, bottom))
        self._draw_grip(painter, QPointF(x, self._grip_y()))

    def _draw_grip(self, painter: QPainter, at: QPointF) -> None:
        painter.setPen(QPen(QColor(0, 0, 0, 60), 2))
        painter.setBrush(QColor("white"))
        painter.drawEllipse(at, GRIP_RADIUS, GRIP_RADIUS)
        painter.setPen(QPen(QColor("#555555"), 1.5))
        for side in (-1, 1):
            tip = at + QPointF(side * 8, 0)
            painter.drawPolyline([tip + QPointF(-side * 4, -4), tip, tip + QPointF(-side * 4, 4)])

    def _divider_x(self) -> float:
        frame = self.camera.frame
        return round(frame.left() + frame.width() * self._divider) + 0.5

    def _grip_y(self) -> float:
        shown = self.camera.frame.intersected(QRectF(self.rect()))
        return shown.center().y() if not shown.isEmpty() else self.height() / 2

    def _label_area(self) -> QRectF:
        """The area for labels, above the floating bar."""
        return QRectF(self.rect()).adjusted(0, 0, 0, -max(0, self.bottom_margin - MARGINS[3]))

    # Zoom and pan
    def resizeEvent(self, event: QResizeEvent) -> None:
        self._update_camera()

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self._update_camera()
        super().changeEvent(event)

    def _update_camera(self) -> None:
        area = QRectF(self.rect()).adjusted(MARGINS[0], self.top_margin, -MARGINS[2], -self.bottom_margin)
        self.camera.set_view(QSizeF(self.size()), area, self.devicePixelRatioF())
        self._update_view()

    def _update_view(self) -> None:
        self.update()
        self.zoomed.emit(self.camera.zoom)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the cursor with a wheel. Two fingers on a touch pad pan, and zoom with Ctrl."""
        if self._picture is None:
            return
        fingers = event.phase() != Qt.ScrollPhase.NoScrollPhase and not event.pixelDelta().isNull()
        if fingers and not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.camera.pan(QPointF(event.pixelDelta()))
        else:
            self.camera.zoom_by(ZOOM_STEP ** (event.angleDelta().y() / 120), event.position())
        self._update_view()

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QNativeGestureEvent) and event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
            self.camera.zoom_by(1 + event.value(), event.position())
            self._update_view()
            return True
        return super().event(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        button = event.button()
        if self._picture is None:
            event.ignore()
        elif button == Qt.MouseButton.MiddleButton or (button == Qt.MouseButton.LeftButton and self._is_space_pressed):
            self._drag = event.position()
            self._dragged_with_space |= self._is_space_pressed
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        elif button == Qt.MouseButton.LeftButton and self.is_comparing and self._near_divider(event.position()):
            self._moving_divider = True
        elif button == Qt.MouseButton.LeftButton and self._pointer_tool is not None:
            straight = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self._pointer_tool.press(event.position(), straight=straight)
        else:
            event.ignore()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._drag is not None:
            self.camera.pan(event.position() - self._drag)
            self._drag = event.position()
            self._update_view()
        elif self._moving_divider:
            frame = self.camera.frame
            self.divider = (event.position().x() - frame.left()) / max(frame.width(), 1.0)
        else:
            if self._pointer_tool is not None:
                self._pointer_tool.move(event.position())
            self._update_cursor(event.position().toPoint())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._drag, self._moving_divider = None, False
        if self._pointer_tool is not None and event.button() == Qt.MouseButton.LeftButton:
            self._pointer_tool.release()
        self._update_cursor(event.position().toPoint())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Switch between the fitted picture and 100 % at the clicked point."""
        if self._picture is None or event.button() != Qt.MouseButton.LeftButton or self._moving_divider:
            return
        if self._pointer_tool is not None:
            self.mousePressEvent(event)
        elif self.camera.is_fitted:
            self.camera.zoom_to(1.0, event.position())
        else:
            self.camera.fit()
        self._update_view()

    def tabletEvent(self, event: QTabletEvent) -> None:
        """Pass a pen's pressure to the pointer tool. Without one, the pen is a mouse."""
        tool, left = self._pointer_tool, Qt.MouseButton.LeftButton
        if tool is None or self._picture is None or self._is_space_pressed or self._drag is not None:
            event.ignore()
            return
        if event.type() == QEvent.Type.TabletPress and event.button() == left:
            is_eraser = event.pointerType() == QPointingDevice.PointerType.Eraser
            tool.press(event.position(), event.pressure(), erases=is_eraser)
        elif event.type() == QEvent.Type.TabletMove:
            tool.move(event.position(), event.pressure())
        elif event.type() == QEvent.Type.TabletRelease and event.button() == left:
            tool.release()
        else:
            event.ignore()
            return
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {
            Qt.Key.Key_Left: QPointF(PAN_STEP, 0),
            Qt.Key.Key_Right: QPointF(-PAN_STEP, 0),
            Qt.Key.Key_Up: QPointF(0, PAN_STEP),
            Qt.Key.Key_Down: QPointF(0, -PAN_STEP),
        }
        key = Qt.Key(event.key())
        sideways = key in (Qt.Key.Key_Left, Qt.Key.Key_Right)
        shift = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        if self._picture is None:
            event.ignore()
        elif key == Qt.Key.Key_Space:
            if not event.isAutoRepeat():
                self._is_space_pressed, self._dragged_with_space = True, False
                self.setCursor(Qt.CursorShape.OpenHandCursor)
        elif self.is_comparing and sideways and not shift:
            self.divider += 0.02 if key == Qt.Key.Key_Right else -0.02
        elif key in steps:
            self.camera.pan(steps[key])
            self._update_view()
        else:
            event.ignore()

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        if event.key() != Qt.Key.Key_Space or not self._is_space_pressed:
            event.ignore()
        elif not event.isAutoRepeat():
            self._is_space_pressed = False
            self._update_cursor(self.mapFromGlobal(self.cursor().pos()))
            if not self._dragged_with_space:
                self.space_tapped.emit()

    def leaveEvent(self, event: QEvent) -> None:
        if self._pointer_tool is not None:
            self._pointer_tool.leave()
        super().leaveEvent(event)

    def enterEvent(self, event: QEnterEvent) -> None:
        self._update_cursor(event.position().toPoint())

    def _near_divider(self, point: QPointF) -> bool:
        frame = self.camera.frame.adjusted(-GRIP_RADIUS, -GRIP_RADIUS, GRIP_RADIUS, GRIP_RADIUS)
        return abs(point.x() - self._divider_x()) <= GRIP_RADIUS and frame.contains(point)

    def _update_cursor(self, at: QPoint) -> None:
        if self._drag is not None:
            return
        if self._is_space_pressed:
            self.setCursor(Qt.CursorShape.OpenHandCursor)
        elif self.is_comparing and self._near_divider(QPointF(at)):
            self.setCursor(Qt.CursorShape.SplitHCursor)
        elif self._pointer_tool is not None:
            self.setCursor(self._pointer_tool.cursor)
        else:
            self.unsetCursor()


def _draw_label(painter: QPainter, text: str, side: QRectF, edge: Qt.AlignmentFlag) -> None:
    """Draw a label in the lower corner of a side, unless it does not fit."""
    painter.save()
    painter.setFont(theme.font(theme.CAPTION))
    available = side.width() - 32
    text = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, max(0, int(available)))
    width = painter.fontMetrics().horizontalAdvance(text) + 16
    if available < 24 or side.height() < 40:
        painter.restore()
        return
    left = side.left() + 8 if edge == Qt.AlignmentFlag.AlignLeft else side.right() - 8 - width
    plate = QRectF(left, side.bottom() - 32, width, 24)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(20, 20, 20, 190))
    painter.drawRoundedRect(plate, 4, 4)
    painter.setPen(QColor("#e6e6e6"))
    painter.drawText(plate, Qt.AlignmentFlag.AlignCenter, text)
    painter.restore()


def _make_checkerboard() -> QBrush:
    tile = QPixmap(16, 16)
    tile.fill(QColor("#b8b8b8"))
    painter = QPainter(tile)
    for corner in (QPoint(0, 0), QPoint(8, 8)):
        painter.fillRect(QRect(corner.x(), corner.y(), 8, 8), QColor("#8e8e8e"))
    painter.end()
    return QBrush(tile)
