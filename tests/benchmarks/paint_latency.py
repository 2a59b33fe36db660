"""From an array in the worker to the screen, and from a click on Generate to a window that says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from studio.core.job import JobState
from studio.core.messages import PreviewFrame
from studio.ui.window.window import Window
from tests.benchmarks.measure import LEAST, Figure
from tests.benchmarks.window_fixture import Painted, opened, rest, until

BOUNDS = {1024: 20, 4096: 60}


def figures() -> Iterator[Figure]:
    with opened() as window:
        window.session.workspace.choose("bench.show")
        idle = median(_repaint(window) for _ in range(LEAST))
        of_idle = "painting the canvas again, with nothing new to show"
        for side, bound in BOUNDS.items():
            yield Figure(
                what=f"preview of {side}² to painted",
                samples=tuple(_previews(window, side)),
                bound=bound,
                idle=idle,
                of_idle=of_idle,
            )
        for side, bound in BOUNDS.items():
            yield Figure(
                what=f"result of {side}² to first painted",
                samples=tuple(_result(window, side) for _ in range(LEAST)),
                bound=bound,
                idle=idle,
                of_idle=of_idle,
            )
        yield Figure(
            what="click on Generate to painted",
            samples=tuple(_click(window) for _ in range(LEAST)),
            bound=50,
            idle=idle,
            of_idle=of_idle,
        )


def _repaint(window: Window) -> float:
    image_view = window.canvas.image_view
    times: list[int] = []
    painted = Painted(image_view if image_view.isVisible() else window.canvas)
    painted.done.connect(times.append)
    began = time.monotonic_ns()
    window.canvas.update()
    image_view.update()
    until(lambda: bool(times))
    painted.deleteLater()
    return (times[0] - began) / 1e6


def _previews(window: Window, side: int) -> list[float]:
    """The worker labels each preview with the time at which its array was ready."""
    waiting: list[int] = []
    latencies: list[float] = []

    def came(preview: PreviewFrame) -> None:
        waiting.append(int(preview.label or 0))

    def painted_at(now: int) -> None:
        latencies.extend((now - then) / 1e6 for then in waiting if then)
        waiting.clear()

    painted = Painted(window.canvas.image_view)
    painted.done.connect(painted_at)
    link = window.session.router.preview_ready.connect(came)
    _run(window, side=side, previews=LEAST + 2)
    window.session.router.preview_ready.disconnect(link)
    painted.deleteLater()
    return latencies[2:]


def _result(window: Window, side: int) -> float:
    """Whichever shows it first: a preview of the finished array, or the file."""
    painted_at: list[int] = []
    painted = Painted(window.canvas.image_view)
    window.canvas.clear()
    rest(0.2)
    painted.done.connect(painted_at.append)
    _run(window, side=side, previews=0)
    until(lambda: bool(painted_at))
    painted.deleteLater()
    session = window.session
    newest = session.library.get(session.history.id_at(0))
    assert newest is not None
    assert newest.recipe is not None
    return (painted_at[0] - int(newest.recipe.notes["ready"])) / 1e6


def _click(window: Window) -> float:
    """To the first paint of the bottom bar after the click, which says what was asked for."""
    painted_at: list[int] = []
    painted = Painted(window.status)
    window.session.workspace.replace_values({"side": 256})
    rest(0.3)
    painted.done.connect(painted_at.append)
    jobs = len(window.session.engine.jobs())
    began = time.monotonic_ns()
    QTest.mouseClick(window.tool_panel.generate, Qt.MouseButton.LeftButton)
    until(lambda: bool(painted_at))
    _settle(window, jobs)
    painted.deleteLater()
    return (painted_at[0] - began) / 1e6


def _run(window: Window, **values: int) -> None:
    jobs = len(window.session.engine.jobs())
    window.session.workspace.replace_values(values)
    window.session.generation.generate()
    _settle(window, jobs)


def _settle(window: Window, jobs: int) -> None:
    """Waits for one more job than there were, and for the last to be over."""
    engine = window.session.engine
    until(lambda: len(engine.jobs()) > jobs)
    until(lambda: all(job.state.ended for job in engine.jobs()))
    assert all(job.state is JobState.DONE for job in engine.jobs())
    rest(0.3)
