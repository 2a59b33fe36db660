"""Live drafts: one at a time, each with the newest values."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QTimer
from pytestqt.qtbot import QtBot

from studio.core.messages import PreviewFrame
from studio.engine.interface import JobForgotten
from studio.state.jobs import live_drafts
from studio.state.session import Session
from tests.fixtures.engine import FakeEngine


class Explorer:
    """Moves the slider of a live tool, and plays the worker."""

    def __init__(self, qtbot: QtBot, session: Session, engine: FakeEngine) -> None:
        self._qtbot, self.session, self.engine = qtbot, session, engine
        session.workspace.choose("gan.explore")

    @property
    def drafted(self) -> list[float]:
        """The values of the drafts so far."""
        return [recipe.params["truncation"] for recipe in self.engine.drafts]

    def move(self, value: float) -> None:
        self.session.workspace.set_value("truncation", value)

    def wait_for(self, *values: float) -> None:
        """Wait until exactly these drafts have begun, and the window knows their ids."""
        self._qtbot.waitUntil(lambda: self.drafted == [*values])
        self.settle()

    def settle(self) -> None:
        """Let all that waits happen, but the timer that waits for the hand to rest."""
        done: list[int] = []
        self.session.tasks.run(lambda: None, lambda _: done.append(1))
        self._qtbot.waitUntil(lambda: bool(done))
        self._qtbot.wait(1)

    def show(self, draft: int) -> None:
        self.engine.emit(PreviewFrame(job=f"d{draft}", width=1, height=1, pixels=bytes(3)))
        self.settle()

    def end(self, draft: int) -> None:
        self.engine.emit(JobForgotten(f"d{draft}"))
        self.settle()

    def run_first(self) -> None:
        """Run a first draft, so that the tool is known to be quick."""
        self.move(0.1)
        self.wait_for(0.1)
        self.show(1)
        self.end(1)


@pytest.fixture
def explorer(qtbot: QtBot, session: Session, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Explorer:
    monkeypatch.setattr(live_drafts, "QUICK_SECONDS", 3600)
    return Explorer(qtbot, session, engine)


def keep_moving(explorer: Explorer) -> None:
    """Let the hand never rest."""
    for timer in explorer.session.drafts.findChildren(QTimer):
        if timer.interval():
            timer.setInterval(3_600_000)


def test_the_drafts_of_a_quick_tool_follow_the_hand_one_after_the_other(explorer: Explorer) -> None:
    explorer.run_first()
    keep_moving(explorer)
    explorer.move(0.2)
    explorer.wait_for(0.1, 0.2)
    explorer.move(0.3)
    explorer.move(0.4)
    explorer.settle()
    assert explorer.drafted == [0.1, 0.2]
    explorer.show(2)
    explorer.wait_for(0.1, 0.2, 0.4)


def test_a_draft_that_ends_unseen_is_followed_by_one_with_the_newest_value(explorer: Explorer) -> None:
    explorer.run_first()
    keep_moving(explorer)
    explorer.move(0.2)
    explorer.wait_for(0.1, 0.2)
    explorer.move(0.3)
    explorer.end(2)
    explorer.wait_for(0.1, 0.2, 0.3)


def test_a_tool_that_is_not_known_to_be_quick_waits_until_the_hand_rests(explorer: Explorer) -> None:
    keep_moving(explorer)
    explorer.move(0.2)
    explorer.settle()
    assert explorer.drafted == []


def test_a_draft_of_older_values_is_replaced_when_the_hand_rests(explorer: Explorer) -> None:
    explorer.run_first()
    explorer.move(0.2)
    explorer.wait_for(0.1, 0.2)
    explorer.move(0.3)
    explorer.wait_for(0.1, 0.2, 0.3)


def test_a_draft_that_has_ended_is_not_repeated(explorer: Explorer, qtbot: QtBot) -> None:
    explorer.run_first()
    qtbot.wait(100)
    assert explorer.drafted == [0.1]


def test_generate_uses_the_seed_of_the_draft_that_was_shown_once(
    explorer: Explorer, qtbot: QtBot, session: Session, engine: FakeEngine
) -> None:
    explorer.run_first()
    seeds = []
    for _ in range(2):
        with qtbot.waitSignal(session.generation.submitted):
            session.generation.generate()
        seeds.append(engine.calls[-1][1].seed)
    assert seeds[0] == engine.drafts[0].seed
    assert seeds[1] != seeds[0]


def test_the_latency_is_measured_to_the_paint_after_the_preview(explorer: Explorer, session: Session) -> None:
    explorer.move(0.1)
    explorer.wait_for(0.1)
    session.drafts.on_painted()
    assert session.drafts.latency is None
    explorer.show(1)
    session.drafts.on_painted()
    assert session.drafts.latency is not None
    assert session.drafts.latency > 0
    session.workspace.choose("gan.train")
    assert session.drafts.latency is None
