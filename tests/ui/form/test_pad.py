"""The pad for two numbers, by mouse and keys."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Field, Widget
from studio.ui.form.pad import RADIUS, Pad

ACROSS = Field(name="x", title="Across", widget=Widget.NUMBER, minimum=-1, maximum=1, step=0.01, default=0.0, pad="y")
UP = Field(name="y", title="Up", widget=Widget.WHOLE, minimum=0, maximum=10, default=5)


@pytest.fixture
def pad(qtbot: QtBot) -> Pad:
    pad = Pad(ACROSS, UP)
    qtbot.addWidget(pad)
    pad.resize(200 + 2 * RADIUS, 100 + 2 * RADIUS)
    return pad


@pytest.fixture
def heard(pad: Pad) -> dict[str, float]:
    values: dict[str, float] = {}
    pad.moved.connect(lambda name, value: values.update({name: value}))
    return values


def click(pad: Pad, x: int, y: int) -> None:
    QTest.mouseClick(pad, Qt.MouseButton.LeftButton, pos=QPoint(RADIUS + x, RADIUS + y))


def test_a_click_sets_both_numbers_to_steps_within_their_bounds(pad: Pad, heard: dict[str, float]) -> None:
    click(pad, 150, 20)
    assert heard == {"x": 0.5, "y": 8}
    click(pad, -5, 200)
    assert heard == {"x": -1, "y": 0}


def test_arrow_keys_move_by_a_step_and_with_shift_by_ten(pad: Pad, heard: dict[str, float]) -> None:
    QTest.keyClick(pad, Qt.Key.Key_Right)
    QTest.keyClick(pad, Qt.Key.Key_Up)
    assert heard == {"x": 0.01, "y": 6}
    QTest.keyClick(pad, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    assert heard["x"] == pytest.approx(-0.09)


def test_home_and_a_double_click_set_the_defaults(pad: Pad, heard: dict[str, float]) -> None:
    pad.show_value("x", 0.7)
    assert heard == {}
    QTest.keyClick(pad, Qt.Key.Key_Home)
    assert heard == {"x": 0}
    click(pad, 0, 0)
    QTest.mouseDClick(pad, Qt.MouseButton.LeftButton)
    assert heard == {"x": 0, "y": 5}


def test_the_values_are_told_to_a_screen_reader(pad: Pad) -> None:
    pad.show_value("x", 0.25)
    assert pad.accessibleName() == "Across and Up"
    assert pad.accessibleDescription().startswith("Across 0.25, Up 5.")


def test_a_value_that_is_no_number_is_shown_in_the_middle(pad: Pad) -> None:
    pad.show_value("x", None)
    pad.show_value("y", "many")
    assert [axis.value for axis in pad.axes] == [0, 5]
