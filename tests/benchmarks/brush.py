"""Painting a mask on a large image: from the pointer's move to the repainted canvas."""

from __future__ import annotations

import time
from collections.abc import Iterator

from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from studio.ui.canvas import Canvas
from studio.ui.canvas.brush import Brush
from studio.ui.canvas.mask import MaskLayer
from studio.ui.theme import theme
from tests.benchmarks.figure import Figure
from tests.benchmarks.window_fixture import run_event_loop, wait_until

SIDE = 4096
BOUND = 16
MOVES = 60
SIZES = (40, 200, 600)
LARGE_BRUSH = 300
"""Brush size above which a quick move consists of several large dabs, and may sometimes take longer."""


def run() -> Iterator[Figure]:
    app = QApplication.instance() or QApplication([])
    assert isinstance(app, QApplication)
    theme.apply(app)
    canvas = Canvas()
    canvas.resize(770, 810)
    canvas.show()
    picture = QImage(SIDE, SIDE, QImage.Format.Format_RGB32)
    picture.fill(QColor("#804020"))
    canvas.show_image(picture)
    wait_until(lambda: canvas.image_view.picture is not None)
    layer = MaskLayer(picture.size())
    canvas.mask_mode.begin(layer, 0)
    run_event_loop(0.3)
    try:
        for zoom, where in ((0.0, "fitted"), (1.0, "at 100 %")):
            if zoom:
                canvas.image_view.zoom_to(zoom)
            for size in SIZES:
                canvas.mask_mode.set_brush(Brush(size, 0.5))
                what, judged = f"brush of {size} px on {SIDE}² {where}", "median" if size > LARGE_BRUSH else "worst"
                yield Figure(title=what, samples=tuple(_measure_moves(canvas)), bound=BOUND, statistic=judged)
        yield Figure(title="end of a stroke, with its undo", samples=tuple(_measure_ends(canvas)), bound=BOUND)
    finally:
        canvas.close()


def _measure_moves(canvas: Canvas) -> Iterator[float]:
    """Measure moves of about 40 screen pixels, as a quick hand makes between two frames."""
    image_view, left = canvas.image_view, Qt.MouseButton.LeftButton
    start = QPoint(200, 300)
    QTest.mousePress(image_view, left, Qt.KeyboardModifier.NoModifier, start)
    for number in range(MOVES):
        place = start + QPoint(6 * number, 40 * (number % 2))
        began = time.perf_counter()
        canvas.mask_mode.move(QPointF(place))
        _repaint(canvas)
        yield (time.perf_counter() - began) * 1000
    QTest.mouseRelease(image_view, left, Qt.KeyboardModifier.NoModifier, start)


def _measure_ends(canvas: Canvas) -> Iterator[float]:
    for number in range(12):
        canvas.mask_mode.press(QPointF(150 + 20 * number, 250))
        canvas.mask_mode.move(QPointF(500, 250 + 20 * number))
        _repaint(canvas)
        began = time.perf_counter()
        canvas.mask_mode.release()
        _repaint(canvas)
        yield (time.perf_counter() - began) * 1000


def _repaint(canvas: Canvas) -> None:
    """Paint pending updates of the canvas now."""
    QApplication.sendPostedEvents(canvas.window(), QEvent.Type.UpdateRequest)
