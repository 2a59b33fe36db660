"""What the machine is doing: the workers, their device and memory."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from studio.core.descriptor import DeviceReport
from studio.core.job import Lane
from studio.engine.interface import MemoryChanged, WorkerChanged, WorkerState

UNITS = ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"))


class Activity(QObject):
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


def bytes_in_words(count: int) -> str:
    """As in "3.1 GB"."""
    for size, unit in UNITS:
        if count >= size:
            return f"{count / size:.1f} {unit}" if count < 10 * size else f"{count / size:.0f} {unit}"
    return f"{count} bytes"


def seconds_in_words(seconds: float) -> str:
    """As in "a moment", "0.9 s", "40 s", "3 min", "1 h 20 min"."""
    if seconds < 0.05:
        return "a moment"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
