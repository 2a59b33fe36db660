"""The previews of a training, which can be scrubbed by their steps and compared."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QImage, QImageReader, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSlider,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from studio.core.humanize import group_digits
from studio.core.training_record import PreviewEntry
from studio.state.jobs.training_monitor import TrainingMonitor
from studio.ui.widgets import labels

MAX_IMAGE_SIDE = 4096
"""Images of a record that are larger are not shown, since the studio writes smaller ones."""


class PreviewView(QWidget):
    """Shows one preview with its caption."""

    def __init__(self, monitor: TrainingMonitor) -> None:
        super().__init__()
        self._monitor = monitor
        self.entry: PreviewEntry | None = None
        self._image = QImage()
        self.picture = QLabel()
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setMinimumSize(QSize(240, 100))
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setAccessibleName("Preview text")
        self.empty = labels.make_label("The first preview appears here.", "dim")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._views = QStackedWidget()
        for view in (self.empty, self.picture, self.text):
            self._views.addWidget(view)
        self.caption = labels.make_label(role="caption", wrap=True)
        self.caption.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self._views, 1)
        column.addWidget(self.caption)

    def show_entry(self, entry: PreviewEntry | None) -> None:
        self.entry = entry
        self.caption.setText("" if entry is None else describe_preview(entry))
        if entry is None:
            self._views.setCurrentWidget(self.empty)
            return
        path = self._monitor.record.preview_path(entry)
        self._image = QImage() if path is None else _read_image(path)
        if self._image.isNull():
            self.text.setPlainText(entry.text or "This preview is missing.")
            self._views.setCurrentWidget(self.text)
            return
        self._views.setCurrentWidget(self.picture)
        self.picture.setAccessibleName(f"Preview at step {entry.step}")
        self._show_image()

    def _show_image(self) -> None:
        if self._image.isNull():
            return
        ratio = self.devicePixelRatioF()
        room = self._views.size() * ratio
        is_enlarged = room.width() > self._image.width() and room.height() > self._image.height()
        mode = Qt.TransformationMode.FastTransformation if is_enlarged else Qt.TransformationMode.SmoothTransformation
        pixmap = QPixmap.fromImage(self._image.scaled(room, Qt.AspectRatioMode.KeepAspectRatio, mode))
        pixmap.setDevicePixelRatio(ratio)
        self.picture.setPixmap(pixmap)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._show_image()


class PreviewTimeline(QWidget):
    """Shows one preview, and a slider over all of them. It follows the newest until an older one is chosen.

    A pinned preview stays above the others, to compare them. Previews of the same prompts have the same seed.
    """

    step_shown = Signal(object)
    """Emitted with the step of the preview that is shown, or None."""

    def __init__(self, monitor: TrainingMonitor) -> None:
        super().__init__()
        self._monitor = monitor
        self.view, self.pinned = PreviewView(monitor), PreviewView(monitor)
        self.pinned.hide()
        self.pin = QPushButton("Pin")
        self.pin.setCheckable(True)
        labels.describe(self.pin, "Pin preview", "Keep this preview in view, to compare others with it")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setPageStep(1)
        labels.describe(self.slider, "Previews", "Step through the previews (Left, Right, Home, End)")
        self.number = labels.make_label(role="caption")
        row = QHBoxLayout()
        row.addWidget(self.slider, 1)
        row.addWidget(self.number)
        row.addWidget(self.pin)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 12, 0)
        column.setSpacing(8)
        column.addWidget(self.pinned, 1)
        column.addWidget(self.view, 1)
        column.addLayout(row)
        self.slider.valueChanged.connect(self._show_current)
        self.pin.toggled.connect(self._set_pinned)
        monitor.previews_changed.connect(self._on_previews)
        self._on_previews()

    @property
    def entry(self) -> PreviewEntry | None:
        """The preview at the slider."""
        previews = self._monitor.previews
        return previews[min(self.slider.value(), len(previews) - 1)] if previews else None

    def _on_previews(self) -> None:
        count = len(self._monitor.previews)
        follows = self.slider.value() >= self.slider.maximum()
        self.slider.setRange(0, max(0, count - 1))
        self.slider.setEnabled(count > 1)
        self.pin.setEnabled(count > 1 or self.pin.isChecked())
        if follows:
            self.slider.setValue(self.slider.maximum())
        self._show_current()

    def _show_current(self) -> None:
        entry = self.entry
        self.number.setText("" if entry is None else f"{self.slider.value() + 1} of {self.slider.maximum() + 1}")
        self.view.show_entry(entry)
        self.step_shown.emit(None if entry is None else entry.step)

    def _set_pinned(self, on: bool) -> None:
        self.pinned.setVisible(on)
        if on:
            self.pinned.show_entry(self.entry)


def describe_preview(entry: PreviewEntry) -> str:
    """Return the caption of a preview: its step, seed and prompts."""
    parts = [entry.label or f"Step {group_digits(entry.step)}"]
    if entry.seed is not None:
        parts.append(f"seed {group_digits(entry.seed)}")
    if entry.prompts:
        parts.append("prompts: " + " · ".join(entry.prompts))
    return ", ".join(parts)


def _read_image(path: Path) -> QImage:
    if not path.is_file():
        return QImage()
    reader = QImageReader(str(path), b"webp")
    reader.setAutoDetectImageFormat(False)
    size = reader.size()
    return QImage() if max(size.width(), size.height()) > MAX_IMAGE_SIDE else reader.read()
