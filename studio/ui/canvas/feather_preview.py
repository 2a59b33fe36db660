"""How a mask looks with its feather: blurred off the UI thread, at a size that is quick."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QRectF
from PySide6.QtGui import QColor, QImage, QPainter

from studio.state.form.masks import blurred
from studio.state.loader import Loader
from studio.ui.canvas.image_pyramid import ImagePyramid
from studio.ui.canvas.mask import MaskLayer, tint_levels
from studio.ui.theme import theme

SIDE = 1024
"""Of the picture that is blurred, at most, in pixels."""


class FeatherPreview:
    """Nothing until `ask` was answered; `forget` when the mask changes."""

    def __init__(self, parent: QObject, came: Callable[[], None]) -> None:
        self._loader = Loader("feather", parent=parent)
        self._came = came
        self._turn = 0
        self._pixels: QImage | None = None

    @property
    def ready(self) -> bool:
        return self._pixels is not None

    def ask(self, layer: MaskLayer, feather: int) -> None:
        """`feather` in pixels of the picture. What was there before is shown until the answer comes."""
        self._turn += 1
        turn, small = self._turn, layer.reduced(SIDE)
        scale = small.width() / layer.size.width()

        def answer(soft: QImage) -> None:
            if turn == self._turn:
                self._pixels = soft
                self._came()

        self._loader.run(lambda: blurred(small, feather * scale), answer)

    def forget(self) -> None:
        self._turn += 1
        if self._pixels is not None:
            self._pixels = None
            self._came()

    def close(self) -> None:
        self._loader.close()

    def draw(self, painter: QPainter, frame: QRectF, visible: QRectF) -> None:
        if self._pixels is not None:
            view = tint_levels(self._pixels, QColor(theme.COLOURS.accent))
            zoom = frame.width() / view.width() * painter.device().devicePixelRatio()
            painter.save()
            ImagePyramid((view,)).draw(painter, frame, visible, min(zoom, 2.0))
            painter.restore()
