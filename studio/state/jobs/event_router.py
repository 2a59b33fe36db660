"""Events of jobs: each goes to the queue, the history, the canvas, the page or the notices."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from PySide6.QtCore import QObject, Signal

from studio.core.errors import Failure, FailureKind
from studio.core.job import Job, JobState
from studio.core.messages import JobNotice, PreviewFrame
from studio.core.notices import NoticeLevel
from studio.engine.interface import Created, WorkerChanged
from studio.library.creation import Creation, CreationKind
from studio.state.form.workspace import Workspace
from studio.state.jobs.engine_bridge import EngineBridge
from studio.state.jobs.estimates import Estimates
from studio.state.jobs.queue_model import QueueModel
from studio.state.jobs.variations import Variations
from studio.state.library.history_model import HistoryModel
from studio.state.notices import Notice, Notices


class JobOwner(Protocol):
    """A part of the page that submits jobs of its own."""

    def on_job_changed(self, job: Job) -> None: ...

    def take_result(self, event: Created) -> bool:
        """Take the result of an own job. Returns False for a result of another job."""


class PreviewOwner(JobOwner, Protocol):
    def owns(self, job: str) -> bool: ...

    def on_preview(self, event: PreviewFrame) -> None: ...


class EventRouter(QObject):
    preview_ready = Signal(object)
    """A `messages.PreviewFrame` for the canvas."""
    created = Signal(object)
    """A creation that is new in the library."""
    model_created = Signal()
    trained = Signal(object)
    """Emitted with the creation of a model that a job has trained."""

    def __init__(
        self,
        *,
        workspace: Workspace,
        queue: QueueModel,
        history: HistoryModel,
        variations: Variations,
        estimates: Estimates,
        notices: Notices,
        page_jobs: PreviewOwner,
        owners: Sequence[JobOwner],
        resume: Callable[[Job], None],
        refuse: Callable[[str], object],
        offer_package: Callable[[str], bool],
        parent: QObject | None = None,
    ) -> None:
        """`refuse` shows a sentence at the form, `resume` runs a failed job again, and `offer_package` shows a sentence
        that names a missing model package, or returns False."""
        super().__init__(parent)
        self._workspace, self._queue, self._history, self._variations = workspace, queue, history, variations
        self._estimates, self._notices, self._page_jobs = estimates, notices, page_jobs
        self._owners = (page_jobs, *owners)
        self._resume, self._refuse, self._offer_package = resume, refuse, offer_package
        self._start_times: dict[str, float] = {}

    def connect_to(self, bridge: EngineBridge) -> None:
        bridge.jobs_changed.connect(self._on_jobs_changed)
        bridge.jobs_forgotten.connect(lambda ids: self._queue.remove(*ids))
        bridge.created.connect(self._on_created)
        bridge.progress_changed.connect(self._queue.set_progress)
        bridge.preview_ready.connect(self._on_preview)
        bridge.notice_received.connect(self._on_notice)
        bridge.worker_changed.connect(self._on_worker_changed)

    def add_creation(self, creation: Creation) -> None:
        """Add a new creation to the history."""
        self._history.insert(creation)
        self.created.emit(creation)
        if creation.kind is CreationKind.MODEL:
            self.model_created.emit()

    def _on_jobs_changed(self, jobs: Sequence[Job]) -> None:
        self._queue.put(*jobs)
        for job in jobs:
            self._on_job_changed(job)

    def _on_job_changed(self, job: Job) -> None:
        for owner in self._owners:
            owner.on_job_changed(job)
        if job.state is JobState.RUNNING:
            self._start_times.setdefault(job.id, time.monotonic())
        elif (start := self._start_times.pop(job.id, None)) is not None and job.state is JobState.DONE:
            self._workspace.set_seconds(job.recipe.tool, time.monotonic() - start)
            self._estimates.refresh()
        if job.state in (JobState.FAILED, JobState.SET_ASIDE):
            self._show_failure(job)
        elif job.state is JobState.PAUSED and job.failure is not None:
            self._show_pause(job, job.failure)

    def _show_failure(self, job: Job) -> None:
        failure, tool = job.failure, self._workspace.tool
        if failure is None or self._offer_package(failure.sentence):
            return
        if failure.kind is FailureKind.BAD_INPUT and tool is not None and tool.id == job.recipe.tool:
            self._refuse(failure.sentence)
            return
        self._notices.add(
            Notice(
                self._name_tool(job.recipe.tool, failure.sentence),
                NoticeLevel.ERROR,
                failure.details,
                action_label="Retry",
                action=lambda: self._resume(job),
            )
        )

    def _show_pause(self, job: Job, failure: Failure) -> None:
        """Tell why a job paused by itself."""
        tool = self._workspace.catalogue.tools.get(job.recipe.tool)
        self._notices.add(
            Notice(
                f"{tool.title if tool else job.recipe.tool} is paused. {failure.sentence}",
                NoticeLevel.WARNING,
                failure.details,
                action_label="Resume",
                action=lambda: self._resume(job),
            )
        )

    def _name_tool(self, tool: str, sentence: str) -> str:
        """Put the tool's title before a sentence, unless it is the tool in the form."""
        known, current = self._workspace.catalogue.tools.get(tool), self._workspace.tool
        if known is None or (current is not None and current.id == tool) or sentence.startswith(known.title):
            return sentence
        return f"{known.title}: {sentence}"

    def _on_created(self, event: Created) -> None:
        self.add_creation(event.creation)
        if not any(owner.take_result(event) for owner in self._owners):
            self._variations.add(event)
        if event.creation.kind is CreationKind.MODEL:
            self.trained.emit(event.creation)

    def _on_preview(self, event: PreviewFrame) -> None:
        if self._page_jobs.owns(event.job):
            self._page_jobs.on_preview(event)
            return
        is_draft = self._queue.job(event.job) is None
        if self._variations.is_followed and (is_draft or event.job in self._variations.jobs):
            self.preview_ready.emit(event)

    def _on_notice(self, event: JobNotice) -> None:
        self._notices.add(Notice(event.text, event.level))

    def _on_worker_changed(self, event: WorkerChanged) -> None:
        if event.sentence:
            self._notices.add(Notice(event.sentence, NoticeLevel.WARNING))
