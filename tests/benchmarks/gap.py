"""Gaps of the window's event loop while a worker starts, loads a model, generates and saves."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from studio.core.job import JobState
from studio.ui.window.window import Window
from tests.benchmarks.figure import MIN_SAMPLES, Figure, percentile
from tests.benchmarks.window_fixture import TimerGaps, is_ready, open_bench_window, run_event_loop, wait_until


def run() -> Iterator[Figure]:
    with open_bench_window() as window:
        window.session.workspace.choose("bench.decode")
        gaps = TimerGaps()
        run_event_loop(1)
        gaps.take_gaps()
        run_event_loop(5)
        idle = gaps.take_gaps()
        rounds = [_measure_round(window, gaps) for _ in range(MIN_SAMPLES)]
    of_idle = "the same window, idle"
    yield Figure(
        title="gap of a 16 ms timer, 99 in 100",
        samples=tuple(percentile(one, 0.99) for one in rounds),
        bound=20,
        baseline=percentile(idle, 0.99),
        baseline_title=of_idle,
    )
    yield Figure(
        title="gap of a 16 ms timer, the worst",
        samples=tuple(max(one) for one in rounds),
        bound=33,
        baseline=max(idle),
        baseline_title=of_idle,
    )


def _measure_round(window: Window, gaps: TimerGaps) -> list[float]:
    """Replace the worker, load the model, generate an image, and show it. Return the gaps."""
    session = window.session
    session.engine.start()
    gaps.take_gaps()
    before = session.history.rowCount()
    for worker in psutil.Process().children():
        worker.kill()
    wait_until(lambda: not is_ready(window))
    session.generation.generate()
    wait_until(lambda: session.history.rowCount() > before)
    wait_until(lambda: all(job.state is JobState.DONE for job in session.engine.jobs()))
    run_event_loop(0.3)
    return gaps.take_gaps()
