"""Estimates in the session: the times of a request, and the answers that are used."""

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
def ready_session(qtbot: QtBot, session: Session, engine: FakeEngine) -> Session:
    """A session whose worker is ready and that has sent its first request."""
    session.workspace.choose("writer.continue")
    engine.report_ready(DeviceReport(name="2 cores", memory_total=8 * GB, memory_free=6 * GB))
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 1)
    return session


def answer(qtbot: QtBot, session: Session, engine: FakeEngine, **estimate: Any) -> None:
    with qtbot.waitSignal(session.estimates.changed):
        engine.answer_estimate(**estimate)


def test_an_estimate_is_requested_when_the_worker_is_ready_and_after_changes(
    qtbot: QtBot, ready_session: Session, engine: FakeEngine
) -> None:
    assert engine.estimate_requests == [("writer.continue", {})]
    answer(qtbot, ready_session, engine, memory=3 * GB, seconds=12.0, prompt="0 tokens")
    estimates = ready_session.estimates
    assert (estimates.seconds, estimates.memory, estimates.stale) == (12.0, 3 * GB, False)
    for letter in "fox":  # all within one pause
        ready_session.workspace.set_value("prompt", ready_session.workspace.value("prompt") + letter)
    assert (estimates.seconds, estimates.stale) == (12.0, True)
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)
    assert engine.estimate_requests[-1] == ("writer.continue", {"prompt": "fox"})
    answer(qtbot, ready_session, engine, seconds=13.0)
    assert (estimates.seconds, estimates.stale) == (13.0, False)


def test_no_estimate_is_requested_before_the_worker_is_ready(
    qtbot: QtBot, session: Session, engine: FakeEngine
) -> None:
    session.workspace.choose("writer.continue")
    session.workspace.set_value("prompt", "fox")
    assert not session.estimates._timer.isActive()
    engine.report_ready()
    qtbot.waitUntil(lambda: engine.estimate_requests == [("writer.continue", {"prompt": "fox"})])


def test_a_restarted_worker_gets_a_new_request(qtbot: QtBot, ready_session: Session, engine: FakeEngine) -> None:
    engine.emit(WorkerChanged(Lane.INTERACTIVE, WorkerState.RESTARTING, sentence="It ended."))
    engine.report_ready()
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)


def test_an_answer_to_an_older_request_is_ignored(qtbot: QtBot, ready_session: Session, engine: FakeEngine) -> None:
    ready_session.workspace.set_value("prompt", "fox")
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)
    engine.emit(EstimateReady("e1", seconds=99.0))
    answer(qtbot, ready_session, engine, seconds=13.0)
    assert ready_session.estimates.seconds == 13.0


def test_a_form_with_an_invalid_value_has_no_estimate(qtbot: QtBot, ready_session: Session, engine: FakeEngine) -> None:
    answer(qtbot, ready_session, engine, seconds=12.0, prompt="0 tokens")
    ready_session.workspace.set_value("steps", 0)
    qtbot.waitUntil(lambda: not ready_session.estimates.known)
    assert (ready_session.estimates.notes, ready_session.estimates.stale, len(engine.estimate_requests)) == (
        {},
        False,
        1,
    )
    ready_session.workspace.set_value("steps", 7)
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)


def test_an_estimate_is_dropped_with_its_tool(qtbot: QtBot, ready_session: Session, engine: FakeEngine) -> None:
    answer(qtbot, ready_session, engine, seconds=12.0)
    ready_session.workspace.choose("morph.between")
    assert ready_session.estimates.seconds is None
    engine.answer_estimate(seconds=12.0)
    qtbot.waitUntil(lambda: not ready_session.estimates._timer.isActive())
    assert ready_session.estimates.seconds is None
    assert len(engine.estimate_requests) == 1  # its pictures are missing


def test_available_memory_is_free_memory_and_that_of_the_worker(
    qtbot: QtBot, ready_session: Session, engine: FakeEngine
) -> None:
    answer(qtbot, ready_session, engine, memory=7 * GB)
    assert ready_session.estimates.too_large
    assert ready_session.estimates.available_memory == 6 * GB
    device = DeviceReport(name="2 cores", memory_total=8 * GB, memory_free=4 * GB)
    engine.emit(MemoryChanged(Lane.INTERACTIVE, 3 * GB, device))
    qtbot.waitUntil(lambda: ready_session.worker_status.available_memory(Lane.INTERACTIVE) == 7 * GB)
    assert ready_session.estimates.available_memory == 6 * GB  # unchanged until the next request
    ready_session.workspace.set_value("prompt", "fox")
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)
    answer(qtbot, ready_session, engine, memory=7 * GB)
    assert not ready_session.estimates.too_large


def test_an_estimate_is_requested_again_after_a_job(qtbot: QtBot, ready_session: Session, engine: FakeEngine) -> None:
    with qtbot.waitSignal(ready_session.generation.submitted) as submitted:
        ready_session.generation.generate()
    (job,) = submitted.args[0]
    engine.run(job.id)
    engine.finish(job.id)
    qtbot.waitUntil(lambda: len(engine.estimate_requests) == 2)


def test_no_estimate_is_requested_after_the_session_closes(ready_session: Session) -> None:
    ready_session.close()
    ready_session.estimates.refresh()
    assert not ready_session.estimates._timer.isActive()
