"""The line below Generate: time and memory that the next job needs."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from studio.core.humanize import format_memory, format_seconds, format_size
from studio.core.job import Lane
from studio.engine.interface import WorkerState
from studio.state.form.workspace import Workspace
from studio.state.jobs.estimates import Estimates
from studio.state.jobs.worker_status import WorkerStatus
from studio.ui.widgets import labels

UNKNOWN_TIME = "time unknown; measured after the first steps"
"""For a training whose steps were never measured on this machine."""
MIN_SHOWN_DISK = 10**9
"""Bytes below which the space on the disk is not worth words."""


class EstimateLine(QWidget):
    """The estimate. It is dim while a new one is computed, and in the warning colour if memory is too small."""

    def __init__(self, workspace: Workspace, worker_status: WorkerStatus, estimates: Estimates) -> None:
        super().__init__()
        self._workspace, self._worker_status, self._estimates = workspace, worker_status, estimates
        self.label = labels.make_label("", "hint", wrap=True)
        self.label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.label.setMinimumHeight(self.label.fontMetrics().height())
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.label)
        for changed in (
            workspace.tool_changed,
            workspace.options_changed,
            worker_status.changed,
            estimates.changed,
        ):
            changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        text = self._text()
        if text != self.label.text():
            self.label.setText(text)
            self.label.setAccessibleName(text)
        is_known = self._is_worker_starting is False and self._estimates.known
        labels.set_flag(self.label, "stale", is_known and self._estimates.stale)
        labels.set_flag(self.label, "short", is_known and self._estimates.too_large)

    @property
    def _is_worker_starting(self) -> bool:
        return self._worker_status.state is not WorkerState.READY

    def _text(self) -> str:
        if self._workspace.tool is None:
            return ""
        if self._is_worker_starting:
            return "The worker is starting. Your job will run when it is ready."
        if not self._estimates.known:
            return self._time(None if self._is_training else self._workspace.seconds)
        return " · ".join(filter(None, (self._time(self._estimates.seconds), self._memory(), self._disk())))

    @property
    def _is_training(self) -> bool:
        return self._workspace.tool is not None and self._workspace.tool.lane == Lane.TRAINING.value

    def _time(self, seconds: float | None) -> str:
        if seconds is None:
            return UNKNOWN_TIME if self._is_training else ""
        return f"about {format_seconds(seconds)}{' each' if self._workspace.count > 1 else ''}"

    def _disk(self) -> str:
        return f"{format_size(self._estimates.disk)} on the disk" if self._estimates.disk >= MIN_SHOWN_DISK else ""

    def _memory(self) -> str:
        needed = format_memory(self._estimates.memory) if self._estimates.memory else ""
        if not self._estimates.too_large:
            return needed
        kind = self._worker_status.device.kind if self._worker_status.device else ""
        place = "the GPU" if kind in ("cuda", "xpu") else "this computer"
        free = format_memory(self._estimates.available_memory)
        return f"needs {needed}, but {place} has {free} free: it will run slower"
