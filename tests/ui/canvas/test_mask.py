"""The mask layer: strokes, undo and drawing."""

from __future__ import annotations

import random

import pytest
from PySide6.QtCore import QPointF, QRect, QRectF, QSize
from PySide6.QtGui import QColor, QImage, QPainter, QUndoStack
from pytestqt.qtbot import QtBot

from studio.ui.canvas.brush import MAX_SIZE, MIN_SIZE, Brush, Dab, Stroke
from studio.ui.canvas.mask import InvertCommand, MaskLayer, PaintCommand

HARD = Brush(size=40, hardness=1.0)


def grey(layer: MaskLayer, x: int, y: int) -> int:
    return layer.image.pixelColor(x, y).red()


def paint(layer: MaskLayer, brush: Brush, *places: tuple[float, float]) -> QRect:
    stroke, changed = Stroke(brush), QRect()
    for x, y in places:
        changed = changed.united(layer.paint(brush, stroke.extend(QPointF(x, y))))
    return changed


def test_a_stroke_is_spaced_evenly_however_the_pointer_jumps() -> None:
    jump, steps = Stroke(HARD), Stroke(HARD)
    at_once = jump.extend(QPointF(0, 0)) + jump.extend(QPointF(100, 0))
    slowly = [dab for x in range(0, 101) for dab in steps.extend(QPointF(x, 0))]
    assert [dab.at.x() for dab in at_once] == pytest.approx([4.0 * n for n in range(26)])
    assert [dab.at.x() for dab in slowly] == pytest.approx([dab.at.x() for dab in at_once])


def test_pressure_makes_the_stroke_thinner() -> None:
    stroke = Stroke(HARD)
    sizes = [dab.size for dab in stroke.extend(QPointF(0, 0), 0.0) + stroke.extend(QPointF(100, 0), 1.0)]
    assert sizes[0] == pytest.approx(4)
    assert sizes == sorted(sizes)
    assert 36 < sizes[-1] <= 40


def test_paint_and_erase(qapp: object) -> None:
    layer = MaskLayer(QSize(300, 200))
    assert layer.is_empty
    changed = paint(layer, HARD, (50, 50), (150, 50))
    assert changed.contains(QRect(31, 31, 138, 38))
    assert (grey(layer, 100, 50), grey(layer, 100, 65), grey(layer, 100, 75)) == (255, 255, 0)
    assert not layer.is_empty
    paint(layer, Brush(40, 1.0, erases=True), (100, 50))
    assert (grey(layer, 100, 50), grey(layer, 60, 50)) == (0, 255)
    assert paint(layer, HARD, (-500, -500)).isEmpty()


def test_row_padding_does_not_count(qapp: object) -> None:
    image = QImage(QSize(301, 200), QImage.Format.Format_Grayscale8)
    memoryview(image.bits())[:] = b"\xff" * image.sizeInBytes()
    image.fill(0)
    assert any(bytes(image.constBits()))
    assert MaskLayer(image.size(), image).is_empty


def test_a_soft_edge_stays_soft_when_painted_again(qapp: object) -> None:
    once, often = MaskLayer(QSize(200, 200)), MaskLayer(QSize(200, 200))
    soft = Brush(size=80, hardness=0.2)
    once.paint(soft, [Dab(QPointF(100, 100), 80)])
    often.paint(soft, [Dab(QPointF(100, 100), 80)] * 20)
    assert 0 < grey(once, 125, 100) < 255
    assert once.image == often.image
    falling = [grey(once, 100 + x, 100) for x in range(45)]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("size", [QSize(1100, 700), QSize(513, 515), QSize(3, 1)])
def test_every_step_is_undone_and_redone(qapp: object, size: QSize) -> None:
    layer, stack, chance = MaskLayer(size), QUndoStack(), random.Random(5)
    states = [layer.copy()]
    for number in range(12):
        if number == 5:
            stack.push(InvertCommand(layer, lambda layer, rect: None))
        elif number == 9:
            layer.fill(0)
            stack.push(PaintCommand("clearing", layer, lambda layer, rect: None))
        else:
            brush = Brush(chance.randint(1, 300), chance.random(), erases=number % 3 == 2)
            places = [(chance.uniform(-50, size.width()), chance.uniform(-50, size.height())) for _ in range(4)]
            paint(layer, brush, *places)
            stack.push(PaintCommand("painting", layer, lambda layer, rect: None))
        states.append(layer.copy())
    for state in reversed(states[:-1]):
        stack.undo()
        assert layer.image == state
    for state in states[1:]:
        stack.redo()
        assert layer.image == state


def test_reduced_levels_follow_every_dab(qapp: object) -> None:
    """The reduced levels are updated where the mask was painted."""
    layer = MaskLayer(QSize(2000, 1500))
    chance = random.Random(1)
    for _ in range(6):
        paint(layer, Brush(90, 0.5), *[(chance.uniform(0, 2000), chance.uniform(0, 1500)) for _ in range(3)])
        looks(layer, 0.2)
    afresh = MaskLayer(layer.size, layer.copy())
    for zoom in (0.11, 0.2, 0.6, 1.0, 3.0):
        assert difference(looks(layer, zoom), looks(afresh, zoom)) <= 2, "Qt rounds by where a part begins"
    assert difference(looks(layer, 0.2), looks(MaskLayer(layer.size), 0.2)) > 40


def difference(one: QImage, other: QImage) -> int:
    """Return the largest difference of any channel."""
    pairs = zip(bytes(one.constBits()), bytes(other.constBits()), strict=True)
    return max(abs(first - second) for first, second in pairs)


def looks(layer: MaskLayer, zoom: float) -> QImage:
    image = QImage(400, 300, QImage.Format.Format_RGB32)
    image.fill(QColor("#808080"))
    painter = QPainter(image)
    frame = QRectF(0, 0, layer.size.width() * zoom, layer.size.height() * zoom)
    layer.draw(painter, frame, QRectF(image.rect()), zoom)
    painter.end()
    return image


def test_bracket_keys_reach_every_size(qtbot: QtBot) -> None:
    brush = Brush(size=MIN_SIZE)
    sizes = [brush.size]
    while brush.larger() != brush:
        brush = brush.larger()
        sizes.append(brush.size)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == MAX_SIZE
    while brush.smaller() != brush:
        brush = brush.smaller()
    assert brush.size == MIN_SIZE
