"""Events from other threads arrive in order, and a flood of them costs little."""

from __future__ import annotations

import threading

from pytestqt.qtbot import QtBot

from studio.core.job import Job, JobState
from studio.core.messages import JobProgress, PreviewFrame
from studio.core.recipe import PluginRef, Recipe
from studio.engine.interface import JobChanged
from studio.state.jobs.engine_bridge import EngineBridge

RECIPE = Recipe(tool="a.b", plugin=PluginRef("a"))


def job(id: str, state: JobState = JobState.QUEUED) -> JobChanged:
    return JobChanged(Job(id=id, recipe=RECIPE, state=state))


def test_events_of_another_thread_arrive_on_this_one_in_order(qtbot: QtBot) -> None:
    bridge = EngineBridge()
    heard: list[tuple[str, threading.Thread]] = []
    bridge.job_changed.connect(lambda job: heard.append((job.id, threading.current_thread())))

    def say() -> None:
        for number in range(50):
            bridge.post(job(f"{number:02}"))

    thread = threading.Thread(target=say)
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: len(heard) == 50)
    assert [id for id, _ in heard] == [f"{number:02}" for number in range(50)]
    assert {thread for _, thread in heard} == {threading.main_thread()}


def test_of_a_flood_of_progress_only_the_newest_is_delivered(qtbot: QtBot) -> None:
    bridge = EngineBridge()
    heard: list[float] = []
    bridge.progress_changed.connect(lambda progress: heard.append(progress.step))
    for step in range(10_000):
        bridge.post(JobProgress("a", step, 10_000))
    bridge.post(JobProgress("b", 1, 2))
    qtbot.waitUntil(lambda: 1.0 in heard)
    assert heard == [9_999, 1]


def test_of_many_previews_the_newest_is_shown_and_none_after_the_end(qtbot: QtBot) -> None:
    bridge = EngineBridge()
    heard: list[str] = []
    bridge.preview_ready.connect(lambda preview: heard.append(preview.label))
    for number in range(100):
        bridge.post(PreviewFrame(job="a", label=str(number)))
    qtbot.waitUntil(lambda: heard == ["99"])
    bridge.post(PreviewFrame(job="a", label="late"))
    ended: list[Job] = []
    bridge.job_changed.connect(ended.append)
    bridge.post(job("a", JobState.DONE))
    qtbot.waitUntil(lambda: bool(ended))
    assert heard == ["99"]
