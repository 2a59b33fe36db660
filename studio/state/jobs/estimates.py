"""What the next job will take, asked a little after the artist changed something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from studio.core.descriptor import ToolDescriptor
from studio.core.job import Lane
from studio.core.page.token_budget import TokenBudget
from studio.engine.interface import Engine, EstimateReady, WorkerState
from studio.state.form.workspace import Workspace
from studio.state.jobs.worker_status import WorkerStatus

DEBOUNCE_MS = 250


class Estimates(QObject):
    """The old answer stays until the new one is there; meanwhile it is `stale`.

    Nothing is asked before the worker is up, and nothing of values that are wrong.
    """

    changed = Signal()

    def __init__(
        self, engine: Engine, workspace: Workspace, worker_status: WorkerStatus, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._engine, self._workspace, self._worker_status = engine, workspace, worker_status
        self._tool: ToolDescriptor | None = None
        self._found: EstimateReady | None = None
        self._asked = ""
        self._stale = self._up = self._closed = False
        self._room = 0
        self.more: Callable[[], Mapping[str, Any]] = dict
        """Values that come into the form only when a job begins."""
        self._timer = QTimer(self, interval=DEBOUNCE_MS, singleShot=True)
        self._timer.timeout.connect(self._ask)
        workspace.value_changed.connect(self.refresh)
        workspace.values_replaced.connect(self.refresh)
        workspace.tool_changed.connect(self._tool_changed)
        worker_status.changed.connect(self._activity_changed)

    @property
    def seconds(self) -> float | None:
        return self._found.seconds if self._found else None

    @property
    def memory(self) -> int:
        """In bytes; 0 where it is not known."""
        return self._found.memory if self._found else 0

    @property
    def notes(self) -> Mapping[str, str]:
        """Short words by parameter."""
        return self._found.notes if self._found else {}

    @property
    def budget(self) -> TokenBudget | None:
        """What the model would read of the page."""
        return self._found.budget if self._found else None

    @property
    def known(self) -> bool:
        """Whether the tool told anything that a time or a size follows from."""
        return self._found is not None and (self._found.memory > 0 or self._found.seconds is not None)

    @property
    def room(self) -> int:
        """The bytes that there were for it when it was asked; 0 where that is not known."""
        return self._room

    @property
    def too_large(self) -> bool:
        return 0 < self._room < self.memory

    @property
    def stale(self) -> bool:
        """Whether something has changed since."""
        return self._stale

    def refresh(self) -> None:
        """Something that it depends on may have changed."""
        if self._closed or not self._up or self._workspace.tool is None:
            return
        self._timer.start()
        if self._found is not None and not self._stale:
            self._stale = True
            self.changed.emit()

    def follow(self) -> None:
        """Something changes again and again, such as what is being typed: asked from time to time, and not stale."""
        if self._up and not self._closed and self._workspace.tool is not None and not self._timer.isActive():
            self._timer.start()

    def take(self, event: EstimateReady) -> None:
        """An answer of the engine; only the newest counts."""
        if event.id == self._asked:
            self._room = self._worker_status.room(self._lane)
            self._show(event)

    def stop(self) -> None:
        self._closed = True
        self._timer.stop()

    @property
    def _lane(self) -> Lane:
        return Lane(self._tool.lane) if self._tool else Lane.INTERACTIVE

    def _ask(self) -> None:
        tool = self._workspace.tool
        if tool is None or self._workspace.errors():
            self._asked = ""
            self._show(None)
        else:
            self._tool = tool
            self._asked = self._engine.estimate(tool.id, {**self._workspace.values(), **self.more()})

    def _show(self, found: EstimateReady | None) -> None:
        if (found, False) != (self._found, self._stale):
            self._found, self._stale = found, False
            self.changed.emit()

    def _tool_changed(self) -> None:
        """What another tool takes says nothing."""
        self._asked = ""
        self._timer.stop()
        self._show(None)
        self.refresh()

    def _activity_changed(self) -> None:
        came_up = not self._up and self._worker_status.state is WorkerState.READY
        self._up = self._worker_status.state is WorkerState.READY
        if came_up:
            self.refresh()
