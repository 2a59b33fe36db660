"""The engine's events as Qt signals on the window's thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from PySide6.QtCore import QObject, Qt, Signal

from studio.core.messages import (
    ImageCaptioned,
    InspectionProgress,
    InspectionResult,
    JobNotice,
    JobProgress,
    PreviewFrame,
)
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

E = TypeVar("E", JobChanged, JobForgotten)
MAX_SECONDS = 0.008
"""Seconds that one delivery may take before the window gets to paint."""
MAX_BATCH = 1_000
"""Jobs that are delivered at once, where that many change together."""


class EngineBridge(QObject):
    """Delivers the engine's events on the thread that this object lives in, in order.

    Of `JobProgress`, `PreviewFrame` and `MemoryChanged` only the newest of each job or lane waits
    while the window is busy. How many previews come at all is limited in the worker's `Outbox`.
    """

    jobs_changed = Signal(list)
    """Jobs that changed one after the other, each with its newest state."""
    jobs_forgotten = Signal(list)
    """Ids of jobs that the queue no longer has."""
    created = Signal(object)
    catalogue_changed = Signal(object)
    worker_changed = Signal(object)
    memory_changed = Signal(object)
    estimate_ready = Signal(object)
    inspection_progressed = Signal(object)
    inspection_ended = Signal(object)
    progress_changed = Signal(object)
    preview_ready = Signal(object)
    image_captioned = Signal(object)
    notice_received = Signal(object)
    _wake = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lock = threading.Lock()
        self._events: deque[EngineEvent] = deque()
        self._newest: dict[tuple[type, str], EngineEvent] = {}
        """The waiting event of each coalescing key; `_events` has its place in the order."""
        self._is_awake = False
        self._unsubscribe: Callable[[], None] | None = None
        self._wake.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def attach(self, engine: Engine) -> None:
        self.detach()
        self._unsubscribe = engine.subscribe(self.post)

    def detach(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def post(self, event: EngineEvent) -> None:
        """Queue an event. Called on any thread."""
        with self._lock:
            key = _coalescing_key(event)
            if key is None or key not in self._newest:
                self._events.append(event)
            if key is not None:
                self._newest[key] = event
            elif isinstance(event, JobChanged) and event.job.state.ended:
                self._newest.pop((PreviewFrame, event.job.id), None)
            if self._is_awake:
                return
            self._is_awake = True
        self._wake.emit()

    def _deliver(self) -> None:
        until = time.perf_counter() + MAX_SECONDS
        while (event := self._take_next()) is not None:
            if isinstance(event, JobChanged):
                self.jobs_changed.emit([event.job, *(other.job for other in self._take_batch(JobChanged))])
            elif isinstance(event, JobForgotten):
                self.jobs_forgotten.emit([event.id, *(other.id for other in self._take_batch(JobForgotten))])
            else:
                self._emit(event)
            if time.perf_counter() > until:
                self._wake.emit()
                return

    def _take_next(self) -> EngineEvent | None:
        with self._lock:
            while self._events:
                event = self._events.popleft()
                key = _coalescing_key(event)
                if key is None:
                    return event
                if (newest := self._newest.pop(key, None)) is not None:
                    return newest
            self._is_awake = False
            return None

    def _take_batch(self, kind: type[E]) -> list[E]:
        """Return the events of one kind that follow, up to the next of another kind."""
        batch: list[E] = []
        with self._lock:
            while self._events and isinstance(event := self._events[0], kind) and len(batch) < MAX_BATCH:
                batch.append(event)
                self._events.popleft()
        return batch

    def _emit(self, event: EngineEvent) -> None:
        match event:
            case JobProgress():
                self.progress_changed.emit(event)
            case PreviewFrame():
                self.preview_ready.emit(event)
            case Created():
                self.created.emit(event)
            case CatalogueChanged():
                self.catalogue_changed.emit(event.catalogue)
            case WorkerChanged():
                self.worker_changed.emit(event)
            case MemoryChanged():
                self.memory_changed.emit(event)
            case EstimateReady():
                self.estimate_ready.emit(event)
            case InspectionProgress():
                self.inspection_progressed.emit(event)
            case InspectionResult():
                self.inspection_ended.emit(event)
            case ImageCaptioned():
                self.image_captioned.emit(event)
            case JobNotice():
                self.notice_received.emit(event)


def _coalescing_key(event: EngineEvent) -> tuple[type, str] | None:
    match event:
        case JobProgress() | PreviewFrame():
            return type(event), event.job
        case InspectionProgress():
            return type(event), event.id
        case MemoryChanged():
            return type(event), event.lane.value
        case _:
            return None
