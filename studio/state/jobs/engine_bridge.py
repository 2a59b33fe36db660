"""From the engine's threads to the window's: events become Qt signals, and floods become trickles."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from studio.core.messages import JobNotice, JobProgress, PreviewFrame
from studio.engine.interface import (
    CatalogueChanged,
    Created,
    Engine,
    EngineEvent,
    EstimateReady,
    JobChanged,
    JobForgotten,
    MemoryChanged,
    WorkerChanged,
)

TURN = 0.008
"""Seconds that one delivery may take before the window gets to paint."""
PREVIEW_GAP_MS = 33
"""Previews are painted at most this often; of those between, only the newest is kept."""


class EngineBridge(QObject):
    """Delivers the engine's events on the thread that this object lives in, in order.

    Of `JobProgress`, `PreviewFrame` and `MemoryChanged` only the newest of each job or lane is kept
    while the window is busy, so that a tool that reports a thousand times a second costs no more
    than one that reports sixty times.
    """

    job_changed = Signal(object)
    job_forgotten = Signal(str)
    created = Signal(object)
    catalogue_changed = Signal(object)
    worker_changed = Signal(object)
    memory_changed = Signal(object)
    estimated = Signal(object)
    progressed = Signal(object)
    previewed = Signal(object)
    noticed = Signal(object)
    _wake = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lock = threading.Lock()
        self._events: deque[EngineEvent] = deque()
        self._newest: dict[tuple[type, str], EngineEvent] = {}
        self._awake = False
        self._end: Callable[[], None] | None = None
        self._previews: dict[str, PreviewFrame] = {}
        self._preview_timer = QTimer(self, interval=PREVIEW_GAP_MS, singleShot=True)
        self._preview_timer.timeout.connect(self._show_previews)
        self._wake.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def attach(self, engine: Engine) -> None:
        self.detach()
        self._end = engine.subscribe(self.post)

    def detach(self) -> None:
        self._preview_timer.stop()
        if self._end is not None:
            self._end()
            self._end = None

    def post(self, event: EngineEvent) -> None:
        """Takes an event on any thread."""
        with self._lock:
            if (key := _coalescing_key(event)) is not None:
                if key not in self._newest:
                    self._events.append(event)
                self._newest[key] = event
            else:
                self._events.append(event)
            if self._awake:
                return
            self._awake = True
        self._wake.emit()

    def _deliver(self) -> None:
        until = time.perf_counter() + TURN
        while (event := self._next()) is not None:
            self._emit(event)
            if time.perf_counter() > until:
                self._wake.emit()
                return

    def _next(self) -> EngineEvent | None:
        with self._lock:
            if not self._events:
                self._awake = False
                return None
            event = self._events.popleft()
            key = _coalescing_key(event)
            return event if key is None else self._newest.pop(key)

    def _emit(self, event: EngineEvent) -> None:
        match event:
            case JobProgress():
                self.progressed.emit(event)
            case PreviewFrame():
                self._previews[event.job] = event
                if not self._preview_timer.isActive():
                    self._show_previews()
            case JobChanged():
                if event.job.state.ended:
                    self._previews.pop(event.job.id, None)
                self.job_changed.emit(event.job)
            case JobForgotten():
                self.job_forgotten.emit(event.id)
            case Created():
                self.created.emit(event)
            case CatalogueChanged():
                self.catalogue_changed.emit(event.catalogue)
            case WorkerChanged():
                self.worker_changed.emit(event)
            case MemoryChanged():
                self.memory_changed.emit(event)
            case EstimateReady():
                self.estimated.emit(event)
            case JobNotice():
                self.noticed.emit(event)

    def _show_previews(self) -> None:
        waiting, self._previews = self._previews, {}
        for event in waiting.values():
            self.previewed.emit(event)
        if waiting:
            self._preview_timer.start()


def _coalescing_key(event: EngineEvent) -> tuple[type, str] | None:
    match event:
        case JobProgress() | PreviewFrame():
            return type(event), event.job
        case MemoryChanged():
            return type(event), event.lane.value
        case _:
            return None
