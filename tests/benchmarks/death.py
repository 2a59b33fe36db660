"""How soon a dead worker is noticed, and how soon a worker ends whose studio was killed."""

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
from tests.benchmarks.measure import LEAST, Figure

ORPHAN = """
import time
from tests.benchmarks.death import ready_worker
with ready_worker():
    print("ready", flush=True)
    time.sleep(3600)
"""


def figures() -> Iterator[Figure]:
    yield Figure(
        what="worker's death to notice",
        samples=tuple(_deaths()),
        bound=50,
        idle=_bare_death(),
        of_idle="a Python that sleeps, killed and waited for",
    )
    yield Figure(
        what="studio's death to worker gone",
        samples=tuple(_orphan() for _ in range(LEAST)),
        bound=1000,
        idle=_bare_orphan(),
        of_idle="a Python that waits for the end of its input, whose parent is killed",
    )


@contextmanager
def ready_worker(*plugins: str) -> Iterator[tuple[LocalEngine, SimpleQueue[EngineEvent], Library]]:
    """An engine on a home of its own, with `plugins` dropped into it, whose interactive worker takes jobs."""
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


def _deaths() -> Iterator[float]:
    with ready_worker() as (engine, events, _):
        for _ in range(LEAST):
            engine.start()  # or a worker that died so often would not be started again
            (worker,) = psutil.Process().children()
            began = time.perf_counter()
            worker.send_signal(signal.SIGKILL)
            wait_for(events, WorkerState.RESTARTING, WorkerState.GONE)
            yield (time.perf_counter() - began) * 1000
            wait_for(events, WorkerState.READY)


def _orphan() -> float:
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True) as studio:
        assert studio.stdout is not None
        assert studio.stdout.readline() == "ready\n"
        (worker,) = psutil.Process(studio.pid).children()
        began = time.perf_counter()
        studio.kill()
        return _gone(worker, began)


def _bare_death() -> float:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    began = time.perf_counter()
    sleeper.kill()
    sleeper.wait()
    return (time.perf_counter() - began) * 1000


def _bare_orphan() -> float:
    waits = "import sys; print('up', flush=True); sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {waits!r}], stdin=-1).wait()"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as middle:
        assert middle.stdout is not None
        middle.stdout.readline()
        (child,) = psutil.Process(middle.pid).children()
        began = time.perf_counter()
        os.kill(middle.pid, signal.SIGKILL)
        return _gone(child, began)


def _gone(process: psutil.Process, began: float) -> float:
    """Looks every millisecond: the process is no child of ours, so nothing tells."""
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.001)
    return (time.perf_counter() - began) * 1000
