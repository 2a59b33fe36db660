"""How long the window is deaf while a worker starts, loads a model, generates and saves."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from studio.core.job import JobState
from studio.ui.window.window import Window
from tests.benchmarks.measure import LEAST, Figure, percentile
from tests.benchmarks.window_fixture import Gaps, opened, ready, rest, until


def figures() -> Iterator[Figure]:
    with opened() as window:
        window.session.workspace.choose("bench.decode")
        gaps = Gaps()
        rest(1)
        gaps.taken()
        rest(5)
        idle = gaps.taken()
        rounds = [_round(window, gaps) for _ in range(LEAST)]
    of_idle = "the same window, with nothing going on"
    yield Figure(
        what="gap of a 16 ms timer, 99 in 100",
        samples=tuple(percentile(one, 0.99) for one in rounds),
        bound=20,
        idle=percentile(idle, 0.99),
        of_idle=of_idle,
    )
    yield Figure(
        what="gap of a 16 ms timer, the worst",
        samples=tuple(max(one) for one in rounds),
        bound=33,
        idle=max(idle),
        of_idle=of_idle,
    )


def _round(window: Window, gaps: Gaps) -> list[float]:
    """A new worker takes the place of the old one, loads the model, makes a picture, and it is shown."""
    session = window.session
    session.engine.start()
    gaps.taken()
    before = session.history.rowCount()
    for worker in psutil.Process().children():
        worker.kill()
    until(lambda: not ready(window))
    session.generation.generate()
    until(lambda: session.history.rowCount() > before)
    until(lambda: all(job.state is JobState.DONE for job in session.engine.jobs()))
    rest(0.3)
    return gaps.taken()
