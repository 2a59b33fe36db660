"""What every test gets: a home of its own, a quiet machine, and a look at what it left behind."""

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
from typing import Any

import psutil
import pytest

from studio.core.paths import Home

PATIENCE = 5.0
"""Seconds that a thread or process which was asked to end may take to do so."""


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
def little_to_look_through() -> None:
    """What is there before a file of tests, such as all that torch has imported, is not looked through after each."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a thread, a child process or a running Qt timer."""
    threads = set(threading.enumerate())
    children = set(psutil.Process().children())
    shows = "qapp" in request.fixturenames
    timers = set(map(id, _timers())) if shows else set()
    yield
    left = [f"thread {thread.name}" for thread in _ended(set(threading.enumerate()) - threads)]
    left += [f"process {' '.join(child)}" for child in _gone(set(psutil.Process().children()) - children)]
    left += [f"timer of {timer.parent()}" for timer in _timers() if id(timer) not in timers] if shows else []
    if left:
        pytest.fail(f"left behind: {', '.join(left)}")


@pytest.fixture(autouse=True)
def nothing_logged(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test in which the studio logs a warning or worse, unless it takes `caplog` to look at them."""
    heard = _Ear()
    logging.getLogger("studio").addHandler(heard)
    yield
    logging.getLogger("studio").removeHandler(heard)
    if heard.lines and "caplog" not in request.fixturenames:
        pytest.fail(f"logged: {'; '.join(heard.lines)}")


class _Ear(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _ended(threads: set[threading.Thread]) -> list[threading.Thread]:
    """Those of `threads` that go on. Threads of other makers, such as Qt's pool, only visit Python."""
    real = [thread for thread in threads if not isinstance(thread, threading._DummyThread)]
    for thread in real:
        thread.join(PATIENCE)
    return [thread for thread in real if thread.is_alive()]


def _gone(children: set[psutil.Process]) -> list[list[str]]:
    """The command lines of those of `children` that go on."""
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    left = []
    for child in alive:
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                left.append(child.cmdline())
        except psutil.NoSuchProcess:
            continue
    return left


def _timers() -> list[Any]:
    core = sys.modules.get("PySide6.QtCore")
    if core is None:
        return []
    import shiboken6

    # Some lazy modules answer `isinstance` by importing themselves.
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), core.QTimer)]
    return [timer for timer in found if shiboken6.isValid(timer) and timer.isActive()]
