"""The window process: start, errors and exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from studio.core.paths import Home
from studio.engine.home_lock import HomeLock

ROOT = Path(__file__).resolve().parents[2]

OPEN_AND_CLOSE = """
import sys
from pathlib import Path
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from studio.core.paths import Home
from studio.ui import app

qt = QApplication([])
window = app.open_window(qt, Home(Path(sys.argv[1])))
window.painted.connect(window.close)
window.show()
qt.exec()
heavy = {"torch", "diffusers", "transformers", "numpy", "PIL", "cv2", "pydantic", "pluggy", "qtawesome"}
print(sorted(heavy & set(sys.modules)))
"""


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    clean.pop("QT_QPA_PLATFORM", None)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_up_to_the_first_paint_nothing_heavy_is_imported(home: Home) -> None:
    ended = run(["-c", OPEN_AND_CLOSE, str(home.root)], QT_QPA_PLATFORM="offscreen")
    assert ended.stdout.strip().splitlines()[-1] == "[]"
    assert ended.returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other platforms always have a display")
def test_without_a_display_one_sentence_and_exit_2(home: Home) -> None:
    ended = run(["-m", "studio.ui.app"], STUDIO_HOME=str(home.root))
    assert ended.returncode == 2
    assert ended.stderr.startswith("There is no display")
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_second_window_on_the_same_home_says_one_sentence(home: Home) -> None:
    lock = HomeLock(home.root / "studio.lock")
    script = """
import sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QMessageBox
from studio.ui import app

qt = QApplication([])
def close():
    box = qt.activeModalWidget()
    if isinstance(box, QMessageBox):
        box.accept()
    else:
        QTimer.singleShot(10, close)
QTimer.singleShot(10, close)
sys.exit(app.main())
"""
    try:
        ended = run(["-c", script], QT_QPA_PLATFORM="offscreen", STUDIO_HOME=str(home.root))
    finally:
        lock.release()
    assert ended.returncode == 1
    assert "already open" in ended.stderr


def test_an_unexpected_exception_becomes_a_notice_and_a_log(home: Home) -> None:
    script = """
import sys
from pathlib import Path
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from studio.core.paths import Home
from studio.ui import app

qt = QApplication([])
window = app.open_window(qt, Home(Path(sys.argv[1])))
def fail():
    raise RuntimeError("nobody expected this")
def look():
    if window.session.notices.items:
        print(window.session.notices.items[0].details.strip().splitlines()[-1])
        window.close()
    else:
        QTimer.singleShot(10, look)
window.painted.connect(lambda: QTimer.singleShot(0, fail))
window.painted.connect(look)
window.show()
qt.exec()
"""
    ended = run(["-c", script, str(home.root)], QT_QPA_PLATFORM="offscreen")
    assert ended.stdout.strip() == "RuntimeError: nobody expected this"
