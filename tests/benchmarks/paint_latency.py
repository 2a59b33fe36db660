"""Latency from an array in the worker, and from a click on Generate, to the repainted window."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from studio.core.job import JobState
from studio.core.messages import PreviewFrame
from studio.ui.window.window import Window
from tests.benchmarks.figure import MIN_SAMPLES, Figure
from tests.benchmarks.window_fixture import PaintWatcher, open_bench_window, run_event_loop, wait_until

BOUNDS = {1024: 20, 4096: 60}


def run() -> Iterator[Figure]:
    with open_bench_window() as window:
        window.session.workspace.choose("bench.show")
        idle = median(_measure_repaint(window) for _ in range(MIN_SAMPLES))
        of_idle = "repainting the unchanged canvas"
        for side, bound in BOUNDS.items():
            yield Figure(
                title=f"preview of {side}² to painted",
                samples=tuple(_measure_previews(window, side)),
                bound=bound,
                baseline=idle,
                baseline_title=of_idle,
            )
        for side, bound in BOUNDS.items():
            yield Figure(
                title=f"result of {side}² to first painted",
                samples=tuple(_measure_result(window, side) for _ in range(MIN_SAMPLES)),
                bound=bound,
                baseline=idle,
                baseline_title=of_idle,
            )
        yield Figure(
            title="click on Generate to painted",
            samples=tuple(_measure_click(window) for _ in range(MIN_SAMPLES)),
            bound=50,
            baseline=idle,
            baseline_title=of_idle,
        )


def _measure_repaint(window: Window) -> float:
    image_view = window.canvas.image_view
    times: list[int] = []
    painted = PaintWatcher(image_view if image_view.isVisible() else window.canvas)
    painted.painted.connect(times.append)
    started = time.monotonic_ns()
    window.canvas.update()
    image_view.update()
    wait_until(lambda: bool(times))
    painted.deleteLater()
    return (times[0] - started) / 1e6


def _measure_previews(window: Window, side: int) -> list[float]:
    """Measure previews, which the worker labels with the time at which their array was ready."""
    waiting: list[int] = []
    latencies: list[float] = []

    def on_preview(preview: PreviewFrame) -> None:
        waiting.append(int(preview.label or 0))

    def on_painted(now: int) -> None:
        latencies.extend((now - then) / 1e6 for then in waiting if then)
        waiting.clear()

    painted = PaintWatcher(window.canvas.image_view)
    painted.painted.connect(on_painted)
    connection = window.session.router.preview_ready.connect(on_preview)
    _run_jobs(window, side=side, previews=MIN_SAMPLES + 2)
    window.session.router.preview_ready.disconnect(connection)
    painted.deleteLater()
    return latencies[2:]


def _measure_result(window: Window, side: int) -> float:
    """Measure until the result is visible: as a preview of the finished array, or as a file."""
    painted_at: list[int] = []
    painted = PaintWatcher(window.canvas.image_view)
    window.canvas.clear()
    run_event_loop(0.2)
    painted.painted.connect(painted_at.append)
    _run_jobs(window, side=side, previews=0)
    wait_until(lambda: bool(painted_at))
    painted.deleteLater()
    session = window.session
    newest = session.library.get(session.history.id_at(0))
    assert newest is not None
    assert newest.recipe is not None
    return (painted_at[0] - int(newest.recipe.notes["ready"])) / 1e6


def _measure_click(window: Window) -> float:
    """Measure until the status bar shows the new job after a click on Generate."""
    painted_at: list[int] = []
    painted = PaintWatcher(window.status)
    window.session.workspace.replace_values({"side": 256})
    run_event_loop(0.3)
    painted.painted.connect(painted_at.append)
    jobs = len(window.session.engine.jobs())
    started = time.monotonic_ns()
    QTest.mouseClick(window.tool_panel.generate, Qt.MouseButton.LeftButton)
    wait_until(lambda: bool(painted_at))
    _wait_for_jobs(window, jobs)
    painted.deleteLater()
    return (painted_at[0] - started) / 1e6


def _run_jobs(window: Window, **values: int) -> None:
    jobs = len(window.session.engine.jobs())
    window.session.workspace.replace_values(values)
    window.session.generation.generate()
    _wait_for_jobs(window, jobs)


def _wait_for_jobs(window: Window, jobs: int) -> None:
    """Wait until there are more than `jobs` jobs, and all have ended."""
    engine = window.session.engine
    wait_until(lambda: len(engine.jobs()) > jobs)
    wait_until(lambda: all(job.state.ended for job in engine.jobs()))
    assert all(job.state is JobState.DONE for job in engine.jobs())
    run_event_loop(0.3)
