"""The real window on a temporary home, and functions that wait for it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from PySide6.QtCore import QEvent, QEventLoop, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication, QWidget

from studio.core import settings
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine.interface import WorkerState
from studio.ui.app import open_window
from studio.ui.window.window import Window
from tests.benchmarks import bench_plugin

TICK = 16
"""Interval, in ms, of the timer whose gaps are measured."""


@contextmanager
def open_bench_window() -> Iterator[Window]:
    """Open a window of 1440 × 900 with a ready worker and the plugin of the benchmarks."""
    app = QApplication.instance() or QApplication([])
    assert isinstance(app, QApplication)
    with tempfile.TemporaryDirectory(prefix="studio-bench-", ignore_cleanup_errors=True) as folder:
        home = Home(Path(folder))
        home.create_folders()
        shutil.copy(bench_plugin.__file__, home.plugins)
        settings.save(home.settings, Settings(device="cpu"))
        window = open_window(app, home)
        window.painted.connect(window.session.start)
        window.resize(1440, 900)
        window.show()
        wait_until(lambda: is_ready(window))
        try:
            yield window
        finally:
            window.close()


def is_ready(window: Window) -> bool:
    return window.session.worker_status.state is WorkerState.READY


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Run the event loop until a condition condition. Raises TimeoutError after `seconds`."""
    loop = QEventLoop()
    polling = QTimer(interval=2)
    polling.timeout.connect(lambda: loop.quit() if condition() else None)
    timeout = QTimer(singleShot=True, interval=int(seconds * 1000))
    timeout.timeout.connect(loop.quit)
    polling.start()
    timeout.start()
    if not condition():
        loop.exec()
    if not condition():
        raise TimeoutError(f"The condition did not hold within {seconds:.0f} seconds.")


def run_event_loop(seconds: float) -> None:
    """Run the event loop for a duration."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end)


class PaintWatcher(QObject):
    """Signals when a widget was painted and its window flushed to the screen."""

    painted = Signal(object)
    """Emitted with `time.monotonic_ns()`."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        # A window flushes right after its last paint event, before its next timer event.
        if event.type() == QEvent.Type.Paint:
            QTimer.singleShot(0, self._emit)
        return False

    def _emit(self) -> None:
        self.painted.emit(time.monotonic_ns())


class TimerGaps(QObject):
    """Times between the ticks of a 16 ms timer, which show how long the event loop was blocked, in ms."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []
        self._timer = QTimer(self, interval=TICK, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(lambda: self.times.append(time.perf_counter() * 1000))
        self._timer.start()

    def take_gaps(self) -> list[float]:
        """Return the gaps since the last call."""
        times, self.times = self.times, self.times[-1:]
        return [later - earlier for earlier, later in pairwise(times)]
