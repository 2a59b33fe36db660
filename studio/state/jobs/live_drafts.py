"""Live drafts: a live tool runs for its previews alone while its values change."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from PySide6.QtCore import QObject, QTimer, Signal

from studio.core.messages import PreviewFrame
from studio.state.form.workspace import Workspace
from studio.state.jobs.engine_bridge import EngineBridge
from studio.state.jobs.submission import JobSubmitter

REST_MS = 60
"""Milliseconds without a change after which the hand is taken to rest."""
QUICK_SECONDS = 0.25
"""A tool that shows a draft within this time follows the hand; others wait until it rests."""
LATENCIES = 9
"""Number of latencies whose median is told."""


@dataclass
class _Draft:
    """A draft at the engine, and the times at which it and the last change of its values were made.

    `job` is empty until the engine has it.
    """

    tool: str
    seed: int
    start_time: float
    edit_time: float
    job: str = ""
    is_shown: bool = False


class LiveDrafts(QObject):
    """Runs one draft after the other, each with the newest values.

    While the hand moves, a draft ends or shows something before the next begins: each would otherwise be cancelled
    before it is seen. When the hand rests, a draft of older values is replaced at once.
    """

    drafting = Signal()
    """A live draft begins."""
    latency_changed = Signal()

    def __init__(self, workspace: Workspace, submitter: JobSubmitter, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace, self._submitter = workspace, submitter
        self._next_timer = QTimer(self, interval=0, singleShot=True)
        self._next_timer.timeout.connect(self._run)
        self._rest_timer = QTimer(self, interval=REST_MS, singleShot=True)
        self._rest_timer.timeout.connect(self._run)
        self._draft: _Draft | None = None
        self._has_changed = False
        """Whether a value has changed since the last draft began."""
        self._edit_time = self._unpainted_time = 0.0
        self._forgotten: set[str] = set()
        """Drafts that ended before their id was known."""
        self._first_frame_seconds: dict[str, float] = {}
        """Seconds until the last draft of a tool showed something, by tool."""
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._shown_seed: tuple[str, int] | None = None
        workspace.value_changed.connect(self._on_value_changed)
        workspace.tool_changed.connect(self._on_tool_changed)

    def connect_to(self, bridge: EngineBridge) -> None:
        bridge.jobs_forgotten.connect(self._on_forgotten)
        bridge.preview_ready.connect(self._on_preview)

    @property
    def latency(self) -> float | None:
        """Seconds from a change of a value to its image on the screen: the median of the latest; None if unknown."""
        return median(self._latencies) if self._latencies else None

    @property
    def last_latency(self) -> float | None:
        """The latency of the latest draft in seconds; None if unknown."""
        return self._latencies[-1] if self._latencies else None

    def take_seed(self, tool: str) -> int | None:
        """Return the seed of a draft of this tool that was shown since the last call; None if there was none."""
        shown, self._shown_seed = self._shown_seed, None
        return shown[1] if shown is not None and shown[0] == tool else None

    def stop(self) -> None:
        """Begin no further draft until a value changes."""
        self._next_timer.stop()
        self._rest_timer.stop()
        self._has_changed = False

    def on_painted(self) -> None:
        """Measure the latency of a draft whose image has been painted."""
        if self._unpainted_time:
            self._latencies.append(time.monotonic() - self._unpainted_time)
            self._unpainted_time = 0.0
            self.latency_changed.emit()

    def _on_tool_changed(self) -> None:
        self.stop()
        self._latencies.clear()
        self.latency_changed.emit()

    def _on_value_changed(self, _name: str) -> None:
        tool = self._workspace.tool
        if tool is None or not tool.live:
            return
        self._edit_time, self._has_changed = time.monotonic(), True
        self._rest_timer.start()
        if self._may_follow():
            self._next_timer.start()

    def _may_follow(self) -> bool:
        """Check whether the next draft may begin while the hand moves."""
        if self._draft is not None:
            return self._draft.is_shown
        tool = self._workspace.tool
        return tool is not None and self._first_frame_seconds.get(tool.id, math.inf) <= QUICK_SECONDS

    def _run(self) -> None:
        """Run a draft with the values of the form, if they have changed. It replaces one that runs."""
        if not self._has_changed or (self._draft is not None and not self._draft.job):
            return
        request = self._workspace.build_request()
        if request is None or not request.tool.live or self._workspace.errors():
            return
        self.stop()
        seed = self._workspace.seed
        self._draft = _Draft(request.tool.id, seed, time.monotonic(), self._edit_time)
        self.drafting.emit()
        self._submitter.draft(replace(request, seed=seed), self._on_submitted)

    def _on_submitted(self, job: str) -> None:
        """Note the id of the draft, which is empty if it was refused: only Generate shows why."""
        assert self._draft is not None
        self._draft.job = job
        if not job or job in self._forgotten:
            self._draft = None
        self._forgotten.clear()
        self._continue()

    def _on_forgotten(self, jobs: Sequence[str]) -> None:
        if self._draft is None:
            return
        if not self._draft.job:
            self._forgotten.update(jobs)
        elif self._draft.job in jobs:
            self._draft = None
            self._continue()

    def _on_preview(self, frame: PreviewFrame) -> None:
        draft = self._draft
        if draft is None or frame.job != draft.job or draft.is_shown:
            return
        draft.is_shown = True
        self._first_frame_seconds[draft.tool] = time.monotonic() - draft.start_time
        self._shown_seed = draft.tool, draft.seed
        self._unpainted_time = draft.edit_time
        self._continue()

    def _continue(self) -> None:
        """Begin the next draft, if a value has changed meanwhile."""
        if self._has_changed and (self._may_follow() or not self._rest_timer.isActive()):
            self._next_timer.start()
