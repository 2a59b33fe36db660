"""From the command to a window that is painted and answers."""

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
from tests.benchmarks.death import ready_worker
from tests.benchmarks.measure import LEAST, Figure

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
"""The command itself, which says when its event loop is free after the first paint."""

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


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
        with ready_worker(bench_plugin.__file__) as (engine, _, library):
            # The plugins as they were seen last time; without them the form comes later.
            shutil.copytree(library.home.root, folder, dirs_exist_ok=True)
            assert engine.catalogue.tools
        for _ in range(2):
            _start(STUDIO, folder)
        bare = [_start(BARE, folder) for _ in range(LEAST)]
        warm = [_start(STUDIO, folder) for _ in range(LEAST)]
        yield Figure(
            what="start to a window that answers, warm",
            samples=tuple(warm),
            bound=350,
            judged="median",
            idle=sorted(bare)[LEAST // 2],
            of_idle="an empty Qt window",
        )
        if hasattr(os, "posix_fadvise"):
            bare = [_start(BARE, folder, cold=True) for _ in range(3)]
            yield Figure(
                what="the same, files not in memory",
                samples=tuple(_start(STUDIO, folder, cold=True) for _ in range(LEAST)),
                bound=700,
                judged="median",
                idle=sorted(bare)[1],
                of_idle="an empty Qt window",
            )


def _start(code: str, home: str, *, cold: bool = False) -> float:
    """Milliseconds from the start of the process."""
    if cold:
        _forget_files()
    environ = {**os.environ, "STUDIO_HOME": home}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or every start would compile what it imports
    began = time.monotonic_ns()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=PACKAGE.parent, stdout=subprocess.PIPE, text=True, check=True
    )
    answered, *heavy = done.stdout.split()
    assert not heavy, f"the window's process has imported {heavy}"
    return (int(answered) - began) / 1e6


def _forget_files() -> None:
    """Asks the system to drop what it keeps of our files; those that other programs use now stay."""
    for folder in (PACKAGE, Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("stdlib"))):
        for inner, _, names in os.walk(folder):
            for name in names:
                handle = os.open(Path(inner) / name, os.O_RDONLY)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(handle)
