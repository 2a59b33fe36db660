"""Setting points with the mouse on the image of a tool."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.ui.form.points_field import PointsEditor
from studio.ui.window.window import Window
from tests.fixtures.engine import FakeEngine, make_property, make_tool

ARROWS = {"type": "array", "items": make_property("string", "points"), "default": [], "maxItems": 2, "title": "Points"}
DRAG = make_tool("move.drag", "Drag", {"image": make_property("string", "image", title="Image"), "points": ARROWS})


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(Catalogue((PluginDescriptor(name="move", title="Move", tools=(DRAG,)),)))


@pytest.fixture
def setting(qtbot: QtBot, window: Window, tmp_path: Path) -> Window:
    """A window in which points are being set."""
    Image.new("RGB", (200, 100), (40, 90, 60)).save(tmp_path / "photo.png")
    window.session.workspace.set_value("image", str(tmp_path / "photo.png"))
    qtbot.mouseClick(editor(window).button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.canvas.point_mode.is_active)
    return window


def editor(window: Window) -> PointsEditor:
    form = window.tool_panel.form
    assert form is not None
    found = form.editor("points")
    assert isinstance(found, PointsEditor)
    return found


def place(window: Window, x: float, y: float) -> QPoint:
    frame = window.canvas.image_view.camera.frame
    return QPointF(frame.left() + x * frame.width(), frame.top() + y * frame.height()).toPoint()


def drag(window: Window, start: tuple[float, float], end: tuple[float, float]) -> None:
    view = window.canvas.image_view
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=place(window, *start))
    QTest.mouseMove(view, place(window, *end))
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=place(window, *end))


def arrows(window: Window) -> list[list[float]]:
    texts = window.session.workspace.value("points") or []
    return [
        [round(float(number) / 10) * 10 for part in text.split(">") for number in part.split(",")] for text in texts
    ]


def test_a_drag_sets_an_arrow_and_its_ends_can_be_moved(setting: Window) -> None:
    drag(setting, (0.2, 0.3), (0.6, 0.3))
    assert arrows(setting) == [[20, 30, 60, 30]]
    drag(setting, (0.6, 0.3), (0.6, 0.8))
    assert arrows(setting) == [[20, 30, 60, 80]]
    setting.session.undo.undo()
    assert arrows(setting) == [[20, 30, 60, 30]]
    assert len(setting.canvas.point_mode.pairs) == 1
    assert setting.canvas.image_view.grab().toImage() is not None


def test_a_click_sets_none_and_an_arrow_is_removed_by_closing_it(setting: Window) -> None:
    drag(setting, (0.5, 0.5), (0.5, 0.5))
    assert arrows(setting) == []
    drag(setting, (0.2, 0.3), (0.6, 0.3))
    drag(setting, (0.6, 0.3), (0.2, 0.3))
    assert arrows(setting) == []


def test_no_more_arrows_are_set_than_the_list_takes(setting: Window) -> None:
    for row in (0.2, 0.5, 0.8):
        drag(setting, (0.2, row), (0.6, row))
    assert arrows(setting) == [[20, 20, 60, 20], [20, 50, 60, 50]]


def test_escape_a_second_click_and_another_image_end_it(qtbot: QtBot, setting: Window) -> None:
    mode = setting.canvas.point_mode
    QTest.keyClick(setting.canvas.image_view, Qt.Key.Key_Escape)
    assert not mode.is_active
    qtbot.mouseClick(editor(setting).button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: mode.is_active)
    qtbot.mouseClick(editor(setting).button, Qt.MouseButton.LeftButton)
    assert not mode.is_active
    qtbot.mouseClick(editor(setting).button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: mode.is_active)
    setting.session.workspace.set_value("image", None)
    assert not mode.is_active


def test_without_an_image_one_is_asked_for(qtbot: QtBot, window: Window) -> None:
    with qtbot.waitSignal(window.session.generation.fields_refused) as refused:
        qtbot.mouseClick(editor(window).button, Qt.MouseButton.LeftButton)
    assert refused.args == [{"image": "Choose an image first. The points are set on it."}]
