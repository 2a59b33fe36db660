"""When the studio asks what a job would take, and which answers count."""

from __future__ import annotations

from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from studio.core.descriptor import DeviceReport
from studio.core.job import Lane
from studio.engine.interface import EstimateReady, MemoryChanged, WorkerChanged, WorkerState
from studio.state.session import Session
from tests.fixtures.engine import FakeEngine

GB = 2**30


@pytest.fixture
def asking(qtbot: QtBot, session: Session, engine: FakeEngine) -> Session:
    """The worker is up, and the first question was asked."""
    session.workspace.choose("writer.continue")
    engine.report_ready(DeviceReport(name="2 cores", memory_total=8 * GB, memory_free=6 * GB))
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 1)
    return session


def answer(qtbot: QtBot, session: Session, engine: FakeEngine, **found: Any) -> None:
    with qtbot.waitSignal(session.estimates.changed):
        engine.answer_estimate(**found)


def test_it_asks_once_the_worker_is_up_and_after_each_change(qtbot: QtBot, asking: Session, engine: FakeEngine) -> None:
    assert engine.estimate_requests == [("writer.continue", {})]
    answer(qtbot, asking, engine, memory=3 * GB, seconds=12.0, prompt="0 tokens")
    estimates = asking.estimates
    assert (estimates.seconds, estimates.memory, estimates.stale) == (12.0, 3 * GB, False)
    for letter in "fox":  # all within one pause
        asking.workspace.set_value("prompt", asking.workspace.value("prompt") + letter)
    assert (estimates.seconds, estimates.stale) == (12.0, True)
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)
    assert engine.estimate_requests[-1] == ("writer.continue", {"prompt": "fox"})
    answer(qtbot, asking, engine, seconds=13.0)
    assert (estimates.seconds, estimates.stale) == (13.0, False)


def test_before_the_worker_is_up_nothing_is_asked(qtbot: QtBot, session: Session, engine: FakeEngine) -> None:
    session.workspace.choose("writer.continue")
    session.workspace.set_value("prompt", "fox")
    assert not session.estimates._timer.isActive()
    engine.report_ready()
    qtbot.waitUntil(lambda: engine.estimate_requests == [("writer.continue", {"prompt": "fox"})])


def test_a_worker_that_comes_back_is_asked_again(qtbot: QtBot, asking: Session, engine: FakeEngine) -> None:
    engine.emit(WorkerChanged(Lane.INTERACTIVE, WorkerState.RESTARTING, sentence="It ended."))
    engine.report_ready()
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)


def test_an_answer_to_an_older_question_does_not_count(qtbot: QtBot, asking: Session, engine: FakeEngine) -> None:
    asking.workspace.set_value("prompt", "fox")
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)
    engine.emit(EstimateReady("e1", seconds=99.0))
    answer(qtbot, asking, engine, seconds=13.0)
    assert asking.estimates.seconds == 13.0


def test_a_form_with_a_wrong_value_shows_nothing(qtbot: QtBot, asking: Session, engine: FakeEngine) -> None:
    answer(qtbot, asking, engine, seconds=12.0, prompt="0 tokens")
    asking.workspace.set_value("steps", 0)
    qtbot.waitUntil(lambda: not asking.estimates.known)
    assert (asking.estimates.notes, asking.estimates.stale, len(engine.estimate_requests)) == ({}, False, 1)
    asking.workspace.set_value("steps", 7)
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)


def test_another_tool_says_nothing_of_this_one(qtbot: QtBot, asking: Session, engine: FakeEngine) -> None:
    answer(qtbot, asking, engine, seconds=12.0)
    asking.workspace.choose("morph.between")
    assert asking.estimates.seconds is None
    engine.answer_estimate(seconds=12.0)
    qtbot.waitUntil(lambda: not asking.estimates._timer.isActive())
    assert asking.estimates.seconds is None
    assert len(engine.estimate_requests) == 1  # its pictures are missing


def test_what_is_free_and_what_the_worker_holds_is_the_room(qtbot: QtBot, asking: Session, engine: FakeEngine) -> None:
    answer(qtbot, asking, engine, memory=7 * GB)
    assert asking.estimates.too_large
    assert asking.estimates.available_memory == 6 * GB
    device = DeviceReport(name="2 cores", memory_total=8 * GB, memory_free=4 * GB)
    engine.emit(MemoryChanged(Lane.INTERACTIVE, 3 * GB, device))
    qtbot.waitUntil(lambda: asking.worker_status.available_memory(Lane.INTERACTIVE) == 7 * GB)
    assert asking.estimates.available_memory == 6 * GB  # the line stays calm until it is asked again
    asking.workspace.set_value("prompt", "fox")
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)
    answer(qtbot, asking, engine, memory=7 * GB)
    assert not asking.estimates.too_large


def test_after_a_job_it_is_asked_again(qtbot: QtBot, asking: Session, engine: FakeEngine) -> None:
    with qtbot.waitSignal(asking.generation.submitted) as submitted:
        asking.generation.generate()
    (job,) = submitted.args[0]
    engine.run(job.id)
    engine.finish(job.id)
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)


def test_nothing_is_asked_once_the_studio_is_closed(asking: Session) -> None:
    asking.close()
    asking.estimates.refresh()
    assert not asking.estimates._timer.isActive()
