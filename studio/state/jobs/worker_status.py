"""What the machine is doing: the workers, their device and memory."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from studio.core.descriptor import DeviceReport
from studio.core.job import Lane
from studio.engine.interface import MemoryChanged, WorkerChanged, WorkerState


class WorkerStatus(QObject):
    """`device` is None until a worker has said what it runs on."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._states: dict[Lane, WorkerState] = {Lane.INTERACTIVE: WorkerState.STARTING}
        self._memory: dict[Lane, int] = {}
        self._device: DeviceReport | None = None

    @property
    def state(self) -> WorkerState:
        """Of the worker that makes pictures."""
        return self._states[Lane.INTERACTIVE]

    @property
    def device(self) -> DeviceReport | None:
        return self._device

    @property
    def memory(self) -> int:
        """What all workers hold, in bytes."""
        return sum(self._memory.values())

    def room(self, lane: Lane) -> int:
        """Bytes that a job of a lane could use: what is free, and what its own worker holds and may let go.
        0 until a worker has said what it runs on."""
        return self._device.memory_free + self._memory.get(lane, 0) if self._device else 0

    def worker_changed(self, event: WorkerChanged) -> None:
        self._states[event.lane] = event.state
        if event.state is not WorkerState.READY:
            self._memory.pop(event.lane, None)
        self._device = event.device or self._device
        self.changed.emit()

    def memory_changed(self, event: MemoryChanged) -> None:
        self._memory[event.lane] = event.memory
        self._device = event.device or self._device
        self.changed.emit()
