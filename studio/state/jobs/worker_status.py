"""The workers' state, device and memory."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from studio.core.descriptor import DeviceReport
from studio.core.job import Lane
from studio.engine.interface import MemoryChanged, WorkerChanged, WorkerState


class WorkerStatus(QObject):
    """`device` is None until a worker has reported it."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._states: dict[Lane, WorkerState] = {Lane.INTERACTIVE: WorkerState.STARTING}
        self._memory: dict[Lane, int] = {}
        self._device: DeviceReport | None = None

    @property
    def state(self) -> WorkerState:
        """State of the interactive worker."""
        return self._states[Lane.INTERACTIVE]

    @property
    def device(self) -> DeviceReport | None:
        return self._device

    @property
    def memory(self) -> int:
        """Bytes that all workers use."""
        return sum(self._memory.values())

    def available_memory(self, lane: Lane) -> int:
        """Return the bytes that a job of a lane could use: the free memory and what its own worker may release.

        0 until a worker has reported its device.
        """
        return self._device.memory_free + self._memory.get(lane, 0) if self._device else 0

    def on_worker_changed(self, event: WorkerChanged) -> None:
        self._states[event.lane] = event.state
        if event.state is not WorkerState.READY:
            self._memory.pop(event.lane, None)
        self._device = event.device or self._device
        self.changed.emit()

    def on_memory_changed(self, event: MemoryChanged) -> None:
        self._memory[event.lane] = event.memory
        self._device = event.device or self._device
        self.changed.emit()
