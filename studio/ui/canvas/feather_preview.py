"""A preview of a mask with its blur, computed on a thread at a reduced size."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QRectF
from PySide6.QtGui import QColor, QImage, QPainter

from studio.state.form.masks import blur
from studio.state.tasks import Tasks
from studio.ui.canvas.image_pyramid import ImagePyramid
from studio.ui.canvas.mask import MaskLayer, make_tinted_view
from studio.ui.theme import theme

SIDE = 1024
"""Longest side of the reduced mask in pixels."""


class FeatherPreview:
    """The blurred mask. It is drawn once `request` has been answered, until `clear`."""

    def __init__(self, parent: QObject, on_ready: Callable[[], None]) -> None:
        self._tasks = Tasks("feather", drop_pending=True, parent=parent)
        self._on_ready = on_ready
        self._request = 0
        self._pixels: QImage | None = None

    @property
    def ready(self) -> bool:
        return self._pixels is not None

    def request(self, layer: MaskLayer, feather: int) -> None:
        """Blur a mask by `feather` pixels of the picture. The last preview is shown until this one is ready."""
        self._request += 1
        request, small = self._request, layer.copy_scaled(SIDE)
        scale = small.width() / layer.size.width()

        def answer(soft: QImage) -> None:
            if request == self._request:
                self._pixels = soft
                self._on_ready()

        self._tasks.run(lambda: blur(small, feather * scale), answer)

    def clear(self) -> None:
        self._request += 1
        if self._pixels is not None:
            self._pixels = None
            self._on_ready()

    def close(self) -> None:
        self._tasks.close()

    def draw(self, painter: QPainter, frame: QRectF, visible: QRectF) -> None:
        if self._pixels is not None:
            view = make_tinted_view(self._pixels, QColor(theme.COLOURS.accent))
            zoom = frame.width() / view.width() * painter.device().devicePixelRatio()
            painter.save()
            ImagePyramid((view,)).draw(painter, frame, visible, min(zoom, 2.0))
            painter.restore()
