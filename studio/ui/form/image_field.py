"""A drop well for one picture, by drop, paste or click."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QMimeData, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QGuiApplication,
    QImage,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPixmap,
)
from PySide6.QtWidgets import QFileDialog, QToolButton, QVBoxLayout, QWidget

from studio.core.descriptor import Field, Widget
from studio.core.humanize import format_size, group_digits
from studio.library.storage import sidecar
from studio.ui.form.base import Editor, FormServices, guard_callback
from studio.ui.theme import icons, theme
from studio.ui.widgets import labels, mime_data
from studio.ui.widgets.thumbnail_loader import Thumbnail

HEIGHT = 88
THUMBNAIL_SIZE = QSize(96, 72)
_last_folder = ""


class DropWell(QWidget):
    """A well for one picture. `path_chosen` is emitted for a file, `image_pasted` for an image without a file."""

    path_chosen = Signal(str)
    image_pasted = Signal(QImage)
    cleared = Signal()

    def __init__(self, placeholder: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(HEIGHT)
        self.setAcceptDrops(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._placeholder = placeholder
        self._path = self._name = ""
        self._thumbnail: Thumbnail | None = None
        self._pixmap = QPixmap()
        self._hovered = self._invalid = False

    @property
    def path(self) -> str:
        return self._path

    def set_path(self, path: str, name: str = "") -> None:
        """Show a file. `name` replaces the file's own name."""
        self._path, self._thumbnail, self._pixmap = path, None, QPixmap()
        self._name = name or Path(path).name
        self.update()

    def set_thumbnail(self, thumbnail: Thumbnail) -> None:
        self._thumbnail = thumbnail
        self._pixmap = QPixmap.fromImage(thumbnail.image)
        self.update()

    def set_invalid(self, invalid: bool) -> None:
        self._invalid = invalid
        self.update()

    # Ways in
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if mime_data.has_picture(event.mimeData()):
            event.acceptProposedAction()
            self._set_hovered(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._set_hovered(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self._set_hovered(False)
        if self._accept_data(event.mimeData()):
            event.acceptProposedAction()

    def event(self, event: QEvent) -> bool:
        return mime_data.claims_paste(event) or super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Paste):
            self._accept_data(QGuiApplication.clipboard().mimeData())
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and self._path:
            self.cleared.emit()
        elif event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
            self.browse()
        else:
            super().keyPressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() is Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.browse()

    def browse(self) -> None:
        global _last_folder
        path, _ = QFileDialog.getOpenFileName(
            self, self.accessibleName(), _last_folder, mime_data.make_name_filter(mime_data.PICTURES, "Images")
        )
        if path:
            _last_folder = str(Path(path).parent)
            self.path_chosen.emit(path)

    def _accept_data(self, data: QMimeData) -> bool:
        if files := mime_data.list_pictures(data):
            self.path_chosen.emit(str(files[0]))
            return True
        if (image := mime_data.read_image(data)) is not None:
            self.image_pasted.emit(image)
            return True
        return False

    def _set_hovered(self, on: bool) -> None:
        self._hovered = on
        self.update()

    # The look
    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme.COLOURS
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        edge = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        border = colours.accent if self._hovered else colours.danger if self._invalid else colours.chosen
        if self.hasFocus() and not self._hovered and not self._invalid:
            border = colours.dim
        painter.setPen(QPen(QColor(border), 1, Qt.PenStyle.SolidLine if self.hasFocus() else Qt.PenStyle.DashLine))
        painter.setBrush(QColor(colours.field))
        painter.drawRoundedRect(edge, theme.RADIUS, theme.RADIUS)
        if self._path:
            self._paint_picture(painter)
        else:
            self._paint_placeholder(painter)

    def _paint_placeholder(self, painter: QPainter) -> None:
        colours = theme.COLOURS
        icon = icons.pixmap("image-plus", 24, "accent" if self._hovered else "faint", self.devicePixelRatioF())
        painter.drawPixmap((self.width() - 24) // 2, 18, icon)
        painter.setPen(QColor(colours.dim))
        painter.setFont(theme.font())
        painter.drawText(self.rect().adjusted(8, 48, -8, -8), Qt.AlignmentFlag.AlignHCenter, self._placeholder)

    def _paint_picture(self, painter: QPainter) -> None:
        colours, frame = theme.COLOURS, QRectF(8, 8, THUMBNAIL_SIZE.width(), THUMBNAIL_SIZE.height())
        shape = QPainterPath()
        shape.addRoundedRect(frame, 4, 4)
        painter.save()
        painter.setClipPath(shape)
        painter.fillRect(frame, QColor(colours.raised))
        if not self._pixmap.isNull():
            size = QSize(self._pixmap.size()).scaled(THUMBNAIL_SIZE, Qt.AspectRatioMode.KeepAspectRatioByExpanding)
            target = QRectF(0, 0, size.width(), size.height())
            target.moveCenter(frame.center())
            painter.drawPixmap(target, self._pixmap, QRectF(self._pixmap.rect()))
        painter.restore()
        left = int(frame.right()) + 12
        text_width = self.width() - left - 12
        name = painter.fontMetrics().elidedText(self._name, Qt.TextElideMode.ElideMiddle, text_width)
        painter.setPen(QColor(colours.text))
        painter.setFont(theme.font())
        painter.drawText(left, 40, name)
        painter.setPen(QColor(colours.danger if self._thumbnail and self._thumbnail.error else colours.dim))
        painter.setFont(theme.font(theme.CAPTION))
        painter.drawText(
            left, 58, painter.fontMetrics().elidedText(self._caption_text(), Qt.TextElideMode.ElideRight, text_width)
        )

    def _caption_text(self) -> str:
        if self._thumbnail is None:
            return "Opening…"
        if self._thumbnail.error:
            return self._thumbnail.error
        return format_caption(self._thumbnail)


def format_caption(thumbnail: Thumbnail) -> str:
    """Return the size of a picture and its file, as in "600 × 400 · 120 KB"."""
    size = f" · {format_size(thumbnail.bytes)}" if thumbnail.bytes else ""
    return f"{group_digits(thumbnail.width)} × {group_digits(thumbnail.height)}{size}"


class DropWellEditor(Editor):
    """An editor for the path of one picture (`Widget.IMAGE`)."""

    def __init__(self, field: Field, services: FormServices, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self._services = services
        noun = "a mask" if field.widget is Widget.MASK else "an image"
        self.well = DropWell(f"Drop {noun}, paste, or click")
        labels.describe(self.well, field.title, field.help)
        self._clear = QToolButton()
        self._clear.setProperty("role", "ghost")
        self._clear.setIcon(icons.icon("close"))
        self._clear.setIconSize(QSize(14, 14))
        labels.describe(self._clear, f"Clear {field.title.lower()}")
        self._clear.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.well)
        self.setFocusProxy(self.well)
        self.well.path_chosen.connect(self._set_path)
        use_saved = guard_callback(self, lambda path: self._set_path(str(path)))
        self.well.image_pasted.connect(lambda image: services.save_image(image, use_saved))
        self.well.cleared.connect(self._clear_value)
        self._clear.clicked.connect(self._clear_value)
        services.thumbnails.ready.connect(self._thumbnail_ready)

    def header_widget(self) -> QWidget | None:
        return self._clear

    def value(self) -> Any:
        return self.well.path or None

    def show_value(self, value: Any) -> None:
        path = str(value) if value else ""
        if path != self.well.path:
            name = self.name_of(path)
            self.well.set_path(path, name)
            self._clear.setVisible(bool(path))
            self.well.setAccessibleDescription(name if path else self.field.help)
            if path:
                self._services.thumbnails.request(path)

    def name_of(self, path: str) -> str:
        return sidecar.original_name(Path(path))

    def set_invalid(self, invalid: bool) -> None:
        self.well.set_invalid(invalid)

    def _set_path(self, path: str) -> None:
        self.show_value(path)
        self.edited.emit()

    def _clear_value(self) -> None:
        self._services.clear_value(self.field.name, None)
        self.well.setFocus()

    def _thumbnail_ready(self, thumbnail: Thumbnail) -> None:
        if thumbnail.path == self.well.path:
            self.well.set_thumbnail(thumbnail)
