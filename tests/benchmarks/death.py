"""Times until a dead worker is noticed, and until a worker ends whose studio was killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import psutil

from studio.core.job import Lane
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine.interface import EngineEvent, WorkerChanged, WorkerState
from studio.engine.local_engine import LocalEngine
from studio.library.library import Library
from tests.benchmarks.figure import MIN_SAMPLES, Figure

ORPHAN = """
import time
from tests.benchmarks.death import start_worker
with start_worker():
    print("ready", flush=True)
    time.sleep(3600)
"""


def run() -> Iterator[Figure]:
    yield Figure(
        title="worker's death to notice",
        samples=tuple(_measure_deaths()),
        bound=50,
        baseline=_measure_bare_death(),
        baseline_title="a Python that sleeps, killed and waited for",
    )
    yield Figure(
        title="studio's death to worker gone",
        samples=tuple(_measure_orphan() for _ in range(MIN_SAMPLES)),
        bound=1000,
        baseline=_measure_bare_orphan(),
        baseline_title="a Python that waits for the end of its input, whose parent is killed",
    )


@contextmanager
def start_worker(*plugins: str) -> Iterator[tuple[LocalEngine, SimpleQueue[EngineEvent], Library]]:
    """Start an engine with a ready interactive worker, on a temporary home with `plugins`."""
    events: SimpleQueue[EngineEvent] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="studio-bench-", ignore_cleanup_errors=True) as folder:
        home = Home(Path(folder))
        library = Library(home)
        library.open()
        for plugin in plugins:
            shutil.copy(plugin, home.plugins)
        engine = LocalEngine(home, library, Settings(device="cpu"))
        engine.subscribe(events.put)
        engine.start()
        wait_for(events, WorkerState.READY)
        try:
            yield engine, events, library
        finally:
            engine.close()
            library.close()


def wait_for(events: SimpleQueue[EngineEvent], *states: WorkerState) -> None:
    while True:
        match events.get(timeout=120):
            case WorkerChanged(lane=Lane.INTERACTIVE, state=state) if state in states:
                return


def _measure_deaths() -> Iterator[float]:
    with start_worker() as (engine, events, _):
        for _ in range(MIN_SAMPLES):
            engine.start()  # resets the count of crashes, after which no worker would be started
            (worker,) = psutil.Process().children()
            started = time.perf_counter()
            worker.send_signal(signal.SIGKILL)
            wait_for(events, WorkerState.RESTARTING, WorkerState.GONE)
            yield (time.perf_counter() - started) * 1000
            wait_for(events, WorkerState.READY)


def _measure_orphan() -> float:
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True) as studio:
        assert studio.stdout is not None
        assert studio.stdout.readline() == "ready\n"
        (worker,) = psutil.Process(studio.pid).children()
        started = time.perf_counter()
        studio.kill()
        return _wait_until_gone(worker, started)


def _measure_bare_death() -> float:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = time.perf_counter()
    sleeper.kill()
    sleeper.wait()
    return (time.perf_counter() - started) * 1000


def _measure_bare_orphan() -> float:
    waits = "import sys; print('up', flush=True); sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {waits!r}], stdin=-1).wait()"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as middle:
        assert middle.stdout is not None
        middle.stdout.readline()
        (child,) = psutil.Process(middle.pid).children()
        started = time.perf_counter()
        os.kill(middle.pid, signal.SIGKILL)
        return _wait_until_gone(child, started)


def _wait_until_gone(process: psutil.Process, started: float) -> float:
    """Poll every millisecond until a process has ended, since it is not a child of this one. Return ms."""
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.001)
    return (time.perf_counter() - started) * 1000
