"""The real window on a throwaway home, and how to wait for it."""

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
"""Milliseconds of the timer whose gaps are measured."""


@contextmanager
def opened() -> Iterator[Window]:
    """A window of 1440 × 900 whose worker takes jobs, with the plugin of the benchmarks."""
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
        until(lambda: ready(window))
        try:
            yield window
        finally:
            window.close()


def ready(window: Window) -> bool:
    return window.session.worker_status.state is WorkerState.READY


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    """Runs the event loop until something holds. Raises TimeoutError where it takes longer."""
    loop = QEventLoop()
    asks = QTimer(interval=2)
    asks.timeout.connect(lambda: loop.quit() if holds() else None)
    gives_up = QTimer(singleShot=True, interval=int(seconds * 1000))
    gives_up.timeout.connect(loop.quit)
    asks.start()
    gives_up.start()
    if not holds():
        loop.exec()
    if not holds():
        raise TimeoutError(f"waited {seconds:.0f} seconds in vain")


def rest(seconds: float) -> None:
    """Runs the event loop for a while."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end)


class Painted(QObject):
    """Tells when a widget was painted, and what it painted was handed to the screen."""

    done = Signal(object)
    """`time.monotonic_ns()` of it."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        # A window flushes right after its last paint event, and only then looks at timers again.
        if event.type() == QEvent.Type.Paint:
            QTimer.singleShot(0, self._tell)
        return False

    def _tell(self) -> None:
        self.done.emit(time.monotonic_ns())


class Gaps(QObject):
    """The times between the ticks of a 16 ms timer: how long the window was deaf, in ms."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []
        self._timer = QTimer(self, interval=TICK, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(lambda: self.times.append(time.perf_counter() * 1000))
        self._timer.start()

    def taken(self) -> list[float]:
        """The gaps since the last call."""
        times, self.times = self.times, self.times[-1:]
        return [later - sooner for sooner, later in pairwise(times)]
