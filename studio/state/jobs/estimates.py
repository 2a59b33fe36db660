"""The estimate for the next job, requested shortly after a change in the form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor
from studio.core.job import Lane
from studio.core.page.token_budget import TokenBudget
from studio.engine.interface import Engine, EstimateReady, WorkerState
from studio.state.form.workspace import Workspace
from studio.state.jobs.worker_status import WorkerStatus

DEBOUNCE_MS = 250


class Estimates(QObject):
    """The last estimate stays until a new one comes; meanwhile it is stale.

    Nothing is requested before the worker is ready, or while a value is wrong.
    """

    changed = Signal()

    def __init__(
        self, engine: Engine, workspace: Workspace, worker_status: WorkerStatus, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._engine, self._workspace, self._worker_status = engine, workspace, worker_status
        self._tool: ToolDescriptor | None = None
        self._estimate: EstimateReady | None = None
        self._request_id = ""
        self._stale = self._is_ready = self._closed = False
        self._available_memory = 0
        self.extra_values: Callable[[], Mapping[str, Any]] = dict
        """Returns values that are not in the form, such as the words of the page."""
        self._timer = QTimer(self, interval=DEBOUNCE_MS, singleShot=True)
        self._timer.timeout.connect(self._request)
        workspace.value_changed.connect(self.refresh)
        workspace.values_replaced.connect(self.refresh)
        workspace.tool_changed.connect(self._on_tool_changed)
        worker_status.changed.connect(self._on_worker_changed)

    @property
    def seconds(self) -> float | None:
        return self._estimate.seconds if self._estimate else None

    @property
    def memory(self) -> int:
        """In bytes; 0 where it is not known."""
        return self._estimate.memory if self._estimate else 0

    @property
    def disk(self) -> int:
        """Bytes that the job will write; 0 where it is not known."""
        return self._estimate.disk if self._estimate else 0

    @property
    def notes(self) -> Mapping[str, str]:
        """Short words by parameter."""
        return self._estimate.notes if self._estimate else {}

    @property
    def budget(self) -> TokenBudget | None:
        """The tokens that the model would read of the page."""
        return self._estimate.budget if self._estimate else None

    @property
    def known(self) -> bool:
        """Whether a time or a size is known."""
        return self._estimate is not None and (self._estimate.memory > 0 or self._estimate.seconds is not None)

    @property
    def available_memory(self) -> int:
        """Bytes that a job could use at the time of the estimate; 0 where that is not known."""
        return self._available_memory

    @property
    def too_large(self) -> bool:
        return 0 < self._available_memory < self.memory

    @property
    def stale(self) -> bool:
        """Whether a value has changed since."""
        return self._stale

    def refresh(self) -> None:
        """Request a new estimate soon, since something that it depends on has changed."""
        if self._closed or not self._is_ready or self._workspace.tool is None:
            return
        self._timer.start()
        if self._estimate is not None and not self._stale:
            self._stale = True
            self.changed.emit()

    def refresh_while_typing(self) -> None:
        """Request a new estimate now and then while the page's text changes, without showing the last one as stale."""
        if self._is_ready and not self._closed and self._workspace.tool is not None and not self._timer.isActive():
            self._timer.start()

    def on_estimate(self, event: EstimateReady) -> None:
        """Show an estimate, if it is for the newest request."""
        if event.id == self._request_id:
            self._available_memory = self._worker_status.available_memory(self._lane)
            self._show(event)

    def stop(self) -> None:
        self._closed = True
        self._timer.stop()

    @property
    def _lane(self) -> Lane:
        return Lane(self._tool.lane) if self._tool else Lane.INTERACTIVE

    def _request(self) -> None:
        tool, values = self._workspace.tool, {**self._workspace.values(), **self.extra_values()}
        if tool is None or params_schema.find_errors(tool, values):
            self._request_id = ""
            self._show(None)
        else:
            self._tool = tool
            self._request_id = self._engine.estimate(tool.id, values)

    def _show(self, estimate: EstimateReady | None) -> None:
        if (estimate, False) != (self._estimate, self._stale):
            self._estimate, self._stale = estimate, False
            self.changed.emit()

    def _on_tool_changed(self) -> None:
        """Drop the estimate of another tool."""
        self._request_id = ""
        self._timer.stop()
        self._show(None)
        self.refresh()

    def _on_worker_changed(self) -> None:
        became_ready = not self._is_ready and self._worker_status.state is WorkerState.READY
        self._is_ready = self._worker_status.state is WorkerState.READY
        if became_ready:
            self.refresh()
