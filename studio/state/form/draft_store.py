"""The draft on disk: the values of the form and the window's layout."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from PySide6.QtCore import QObject, QTimer

from studio.core import edited_json
from studio.core.files import write_bytes_atomically
from studio.state.tasks import Tasks

DEBOUNCE_MS = 300


class Draft(Struct, kw_only=True):
    """`geometry` and `layout` are Qt's own bytes in base 64; `seconds` what a tool last took; `unfolded` names tools,
    or ``tool#group``."""

    tool: str = ""
    values: dict[str, dict[str, Any]] = {}
    seed: int = 0
    seed_fixed: bool = False
    count: int = 1
    formats: dict[str, str] = {}
    seconds: dict[str, float] = {}
    unfolded: list[str] = []
    last_tools: dict[str, str] = {}
    geometry: str = ""
    layout: str = ""


def load(path: Path) -> Draft:
    """Return the draft in a file, without what cannot be read."""
    return edited_json.load_struct(Draft, path)


class DraftWriter(QObject):
    """Writes the draft soon after it changed, off the window's thread."""

    def __init__(self, path: Path, snapshot: Callable[[], Draft], tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path, self._snapshot, self._tasks = path, snapshot, tasks
        self._lock = threading.Lock()
        self._timer = QTimer(self, interval=DEBOUNCE_MS, singleShot=True)
        self._timer.timeout.connect(self._save)

    def touch(self) -> None:
        """Write the draft soon. Later changes do not postpone it."""
        if not self._timer.isActive():
            self._timer.start()

    def flush(self) -> None:
        """Write unsaved changes at once."""
        if self._timer.isActive():
            self._timer.stop()
            self._write(msgspec.json.encode(self._snapshot()))

    def _save(self) -> None:
        content = msgspec.json.encode(self._snapshot())
        self._tasks.run(lambda: self._write(content))

    def _write(self, content: bytes) -> None:
        with self._lock:
            write_bytes_atomically(self._path, content)
