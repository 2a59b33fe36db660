"""The bridge delivers events of other threads in order, and only the newest of many."""

from __future__ import annotations

import threading

from pytestqt.qtbot import QtBot

from studio.core.job import Job, JobState
from studio.core.messages import JobProgress, PreviewFrame
from studio.core.recipe import PluginRef, Recipe
from studio.engine.interface import JobChanged, JobForgotten
from studio.state.jobs.engine_bridge import EngineBridge

RECIPE = Recipe(tool="a.b", plugin=PluginRef("a"))


def make_change(id: str, state: JobState = JobState.QUEUED) -> JobChanged:
    return JobChanged(Job(id=id, recipe=RECIPE, state=state))


def test_events_of_another_thread_arrive_on_the_main_thread_in_order(qtbot: QtBot) -> None:
    bridge = EngineBridge()
    received: list[tuple[str, threading.Thread]] = []
    bridge.jobs_changed.connect(lambda jobs: received.extend((job.id, threading.current_thread()) for job in jobs))

    def post_jobs() -> None:
        for number in range(50):
            bridge.post(make_change(f"{number:02}"))

    thread = threading.Thread(target=post_jobs)
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: len(received) == 50)
    assert [id for id, _ in received] == [f"{number:02}" for number in range(50)]
    assert {thread for _, thread in received} == {threading.main_thread()}


def test_only_the_newest_progress_of_a_job_is_delivered(qtbot: QtBot) -> None:
    bridge = EngineBridge()
    received: list[float] = []
    bridge.progress_changed.connect(lambda progress: received.append(progress.step))
    for step in range(10_000):
        bridge.post(JobProgress("a", step, 10_000))
    bridge.post(JobProgress("b", 1, 2))
    qtbot.waitUntil(lambda: 1.0 in received)
    assert received == [9_999, 1]


def test_only_the_newest_preview_is_delivered_and_none_after_the_end(qtbot: QtBot) -> None:
    bridge = EngineBridge()
    received: list[str] = []
    bridge.preview_ready.connect(lambda preview: received.append(preview.label))
    for number in range(100):
        bridge.post(PreviewFrame(job="a", label=str(number)))
    qtbot.waitUntil(lambda: received == ["99"])
    bridge.post(PreviewFrame(job="a", label="late"))
    ended: list[Job] = []
    bridge.jobs_changed.connect(ended.extend)
    bridge.post(make_change("a", JobState.DONE))
    qtbot.waitUntil(lambda: bool(ended))
    assert received == ["99"]


def test_jobs_that_change_together_are_delivered_together_and_in_order(qtbot: QtBot) -> None:
    bridge = EngineBridge()
    received: list[list[str]] = []
    bridge.jobs_changed.connect(lambda jobs: received.append([job.id for job in jobs]))
    bridge.jobs_forgotten.connect(received.append)
    for event in (make_change("a"), make_change("b"), JobForgotten("a"), JobForgotten("b"), make_change("c")):
        bridge.post(event)
    qtbot.waitUntil(lambda: len(received) == 3)
    assert received == [["a", "b"], ["a", "b"], ["c"]]
