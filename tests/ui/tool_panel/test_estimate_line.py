"""The estimate below Generate, and the notes beside fields."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from studio.core.descriptor import DeviceReport, Field, Widget
from studio.ui.form.form import Form
from studio.ui.theme import theme
from studio.ui.window.window import Window
from tests.fixtures.engine import FakeEngine

GB = 2**30


@pytest.fixture
def asked(qtbot: QtBot, window: Window, engine: FakeEngine) -> Window:
    window.session.workspace.choose("writer.continue")
    engine.report_ready(DeviceReport(name="2 cores", memory_total=8 * GB, memory_free=int(6.2 * GB)))
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 1)
    return window


def line(window: Window) -> QLabel:
    return window.tool_panel.estimate.label


def note(window: Window, name: str) -> QLabel | None:
    assert window.tool_panel.form is not None
    return window.tool_panel.form._rows[name]._note


def colour(label: QLabel) -> str:
    return label.palette().windowText().color().name()


def test_time_and_memory_are_shown_below_generate_and_dim_while_stale(
    qtbot: QtBot, asked: Window, engine: FakeEngine
) -> None:
    engine.answer_estimate(memory=int(3.4 * GB), seconds=12.0)
    qtbot.waitUntil(lambda: line(asked).text() == "about 12 s · 3.4 GB")
    assert line(asked).accessibleName() == "about 12 s · 3.4 GB"
    assert colour(line(asked)) == theme.COLOURS.dim
    asked.session.workspace.set_value("prompt", "a fox")
    assert line(asked).text() == "about 12 s · 3.4 GB"
    assert colour(line(asked)) == theme.COLOURS.faint
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)
    engine.answer_estimate(memory=int(3.4 * GB), seconds=14.0)
    qtbot.waitUntil(lambda: line(asked).text() == "about 14 s · 3.4 GB")
    assert colour(line(asked)) == theme.COLOURS.dim
    asked.session.workspace.set_count(3)
    assert line(asked).text() == "about 14 s each · 3.4 GB"


def test_too_little_memory_is_shown_in_the_warning_colour(qtbot: QtBot, asked: Window, engine: FakeEngine) -> None:
    engine.answer_estimate(memory=9 * GB, seconds=12.0)
    sentence = "about 12 s · needs 9.0 GB, but this computer has 6.2 GB free: it will run slower"
    qtbot.waitUntil(lambda: line(asked).text() == sentence)
    assert colour(line(asked)) == theme.COLOURS.warning
    qtbot.waitUntil(lambda: line(asked).height() >= 2 * line(asked).fontMetrics().height())  # not into one line


def test_without_an_estimate_the_last_duration_is_shown(qtbot: QtBot, asked: Window, engine: FakeEngine) -> None:
    asked.session.workspace.set_seconds("writer.continue", 40.0)
    assert line(asked).text() == "about 40 s"
    with qtbot.waitSignal(asked.session.estimates.changed):
        engine.answer_estimate()
    assert line(asked).text() == "about 40 s"


def test_a_training_that_was_never_measured_has_no_time(qtbot: QtBot, asked: Window, engine: FakeEngine) -> None:
    workspace = asked.session.workspace
    workspace.set_seconds("gan.train", 120.0)
    workspace.choose("gan.train")
    assert line(asked).text() == "time unknown; measured after the first steps"
    workspace.set_value("folder", "/photos")
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)
    engine.answer_estimate(memory=GB)
    qtbot.waitUntil(lambda: line(asked).text() == "time unknown; measured after the first steps · 1.0 GB")
    workspace.set_value("folder", "/paintings")
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 3)
    engine.answer_estimate(memory=GB, seconds=7200.0)
    qtbot.waitUntil(lambda: line(asked).text() == "about 2 h · 1.0 GB")


def test_a_note_is_shown_beside_its_field_as_plain_text(qtbot: QtBot, asked: Window, engine: FakeEngine) -> None:
    assert note(asked, "prompt") is None
    engine.answer_estimate(prompt="34 of <b>75</b> tokens", nobody="lost")
    qtbot.waitUntil(lambda: note(asked, "prompt") is not None)
    shown = note(asked, "prompt")
    assert shown is not None
    assert shown.text() == "34 of <b>75</b> tokens"
    assert shown.accessibleName() == "Prompt: 34 of <b>75</b> tokens"
    assert shown.isVisible()
    assert colour(shown) == theme.COLOURS.dim
    asked.session.workspace.set_value("prompt", "a fox")
    assert colour(shown) == theme.COLOURS.faint
    assert shown.text() == "34 of <b>75</b> tokens"
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)
    engine.answer_estimate(seconds=1.0)
    qtbot.waitUntil(lambda: shown.text() == "")
    assert note(asked, "steps") is None


def test_a_note_waits_for_a_collapsed_field(qtbot: QtBot) -> None:
    form = Form([Field(name="width", title="Width", widget=Widget.TEXT, advanced=True)], services=None)  # type: ignore[arg-type]
    qtbot.addWidget(form)
    form.show_notes({"width": "512 px"}, stale=False)
    form.editor("width")
    row = form._rows["width"]
    assert row._note is not None
    assert row._note.text() == "512 px"
