"""Fixtures of all tests: a home of its own for each, and checks for leaks and logged warnings."""

from __future__ import annotations

import os

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from studio.core.paths import Home

if TYPE_CHECKING:
    from PySide6.QtCore import QTimer

PATIENCE = 5.0
"""Seconds that a thread or process may take to end."""


WORKERS = 4
"""Largest number of test processes: each imports torch and may hold models."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run the whole suite in a process for each core, and a part of it that is named in this process.

    The tests of a file stay together, since they share models and workers.
    """
    if config.args != config.getini("testpaths") or config.option.collectonly:
        return 0
    config.option.dist = "loadfile"
    return min(os.cpu_count() or 1, WORKERS)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty home of the studio, which `Home.default()` and child processes find too."""
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    home = Home.default()
    home.create_folders()
    return home


@pytest.fixture(scope="module", autouse=True)
def frozen_garbage() -> None:
    """Exclude objects that exist before a file of tests, such as torch's modules, from the search for timers."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or a running Qt timer."""
    threads = set(threading.enumerate())
    children = set(psutil.Process().children())
    uses_qt = "qapp" in request.fixturenames
    timers = set(map(id, _find_timers())) if uses_qt else set()
    yield
    left = [f"thread {thread.name}" for thread in _wait_for_threads(set(threading.enumerate()) - threads)]
    left += [f"process {' '.join(child)}" for child in _wait_for_processes(set(psutil.Process().children()) - children)]
    left += [f"timer of {timer.parent()}" for timer in _find_timers() if id(timer) not in timers] if uses_qt else []
    if left:
        pytest.fail(f"left behind: {', '.join(left)}")


@pytest.fixture(autouse=True)
def no_warnings_logged(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which the studio logs a warning or an error, unless the test checks `caplog`."""
    handler = _WarningRecorder()
    logging.getLogger("studio").addHandler(handler)
    yield
    logging.getLogger("studio").removeHandler(handler)
    if handler.lines and "caplog" not in request.fixturenames:
        pytest.fail(f"logged: {'; '.join(handler.lines)}")


class _WarningRecorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _wait_for_threads(threads: set[threading.Thread]) -> list[threading.Thread]:
    """Wait for threads to end, and return those that do not. Threads that Python did not start, such as those of
    Qt's pool, are left out."""
    own = [thread for thread in threads if not isinstance(thread, threading._DummyThread)]
    for thread in own:
        thread.join(PATIENCE)
    return [thread for thread in own if thread.is_alive()]


def _wait_for_processes(children: set[psutil.Process]) -> list[list[str]]:
    """Wait for processes to end, and return the command lines of those that do not."""
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    left = []
    for child in alive:
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                left.append(child.cmdline())
        except psutil.NoSuchProcess:
            continue
    return left


def _find_timers() -> list[QTimer]:
    core = sys.modules.get("PySide6.QtCore")
    if core is None:
        return []
    import shiboken6

    # Some lazy modules answer `isinstance` by importing themselves.
    timers = [item for item in gc.get_objects() if issubclass(type(item), core.QTimer)]
    return [timer for timer in timers if shiboken6.isValid(timer) and timer.isActive()]
