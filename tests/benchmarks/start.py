"""Time from the command to a painted and responsive window."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from studio.core.paths import PACKAGE
from tests.benchmarks import bench_plugin
from tests.benchmarks.death import start_worker
from tests.benchmarks.figure import MIN_SAMPLES, Figure

STUDIO = """
import os, sys, time
from studio.ui import app

def answers():
    now = time.monotonic_ns()
    print(now, *{"torch", "diffusers", "transformers"} & set(sys.modules), flush=True)
    windows[0].close()

def opened(*arguments):
    from PySide6.QtCore import QTimer
    windows.append(real(*arguments))
    windows[0].painted.connect(lambda: QTimer.singleShot(0, answers))
    return windows[0]

windows, real, app.open_window = [], app.open_window, opened
from studio.cli import main
sys.exit(main([]))
"""
"""The command, which prints the time when its event loop is idle after the first paint."""

BARE = """
import time
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QMainWindow

class Window(QMainWindow):
    def paintEvent(self, event):
        QTimer.singleShot(0, lambda: (print(time.monotonic_ns(), flush=True), self.close()))

app = QApplication([])
window = Window()
window.resize(1440, 900)
window.show()
app.exec()
"""


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
        with start_worker(bench_plugin.__file__) as (engine, _, library):
            # With cached plugins, as at a second start; without them the form appears later.
            shutil.copytree(library.home.root, folder, dirs_exist_ok=True)
            assert engine.catalogue.tools
        for _ in range(2):
            _measure_start(STUDIO, folder)
        bare = [_measure_start(BARE, folder) for _ in range(MIN_SAMPLES)]
        warm = [_measure_start(STUDIO, folder) for _ in range(MIN_SAMPLES)]
        yield Figure(
            title="start to a responsive window, warm",
            samples=tuple(warm),
            bound=350,
            statistic="median",
            baseline=sorted(bare)[MIN_SAMPLES // 2],
            baseline_title="an empty Qt window",
        )
        if hasattr(os, "posix_fadvise"):
            bare = [_measure_start(BARE, folder, cold=True) for _ in range(3)]
            yield Figure(
                title="start to a responsive window, cold file cache",
                samples=tuple(_measure_start(STUDIO, folder, cold=True) for _ in range(MIN_SAMPLES)),
                bound=700,
                statistic="median",
                baseline=sorted(bare)[1],
                baseline_title="an empty Qt window",
            )


def _measure_start(code: str, home: str, *, cold: bool = False) -> float:
    """Return the milliseconds from the start of the process."""
    if cold:
        _drop_file_cache()
    environ = {**os.environ, "STUDIO_HOME": home}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # otherwise every start would compile the modules
    started = time.monotonic_ns()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=PACKAGE.parent, stdout=subprocess.PIPE, text=True, check=True
    )
    answered, *heavy = done.stdout.split()
    assert not heavy, f"the window's process has imported {heavy}"
    return (int(answered) - started) / 1e6


def _drop_file_cache() -> None:
    """Ask the system to drop the page cache of our files. Files that other programs use stay cached."""
    for folder in (PACKAGE, Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("stdlib"))):
        for inner, _, names in os.walk(folder):
            for name in names:
                handle = os.open(Path(inner) / name, os.O_RDONLY)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(handle)
