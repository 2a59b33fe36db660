"""The status bar: the running job, its progress, the queue, the device and its memory."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QSizePolicy, QWidget

from studio.core.humanize import describe_device, format_memory, format_seconds
from studio.core.job import Job, Lane
from studio.core.messages import JobProgress
from studio.engine.interface import WorkerState
from studio.state.session import Session
from studio.ui.widgets import labels

HEIGHT = 44
_WORKER_STATES = {
    WorkerState.STARTING: "Starting…",
    WorkerState.RESTARTING: "Restarting…",
    WorkerState.GONE: "The worker could not be started. Restart the studio.",
    WorkerState.READY: "Ready",
}
BAR_STEPS = 1000


class StatusBar(QWidget):
    cancel = Signal()
    pause = Signal(object)
    queue_requested = Signal()
    training_requested = Signal(object)
    """Emitted with the running Job, a training whose window is wanted."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setProperty("role", "bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(HEIGHT)
        self._task = labels.make_label("")
        self._task.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(240)
        labels.describe(self.bar, "Progress")
        self._progress_text = labels.make_label("", "dim")
        self.cancel_button = QPushButton("Cancel")
        labels.describe(self.cancel_button, "Cancel", "Cancel the running job (Shift+X)")
        self.pause_button = QPushButton("Pause")
        labels.describe(self.pause_button, "Pause", "Pause the running job. Resume continues from the same step.")
        self.training_button = QPushButton("Show training")
        labels.describe(self.training_button, "Show training", "Show plots, previews and controls (Ctrl+Shift+J)")
        self.queue_button = QPushButton("Queue")
        self.queue_button.setProperty("role", "ghost")
        self._device = labels.make_label("", "dim")
        self._memory = labels.make_label("", "dim")
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 0, 16, 0)
        row.setSpacing(12)
        for part in (
            self._task,
            self.bar,
            self._progress_text,
            self.cancel_button,
            self.pause_button,
            self.training_button,
        ):
            row.addWidget(part)
        row.addStretch(1)
        for part in (self.queue_button, self._device, self._memory):
            row.addWidget(part)
        self.cancel_button.clicked.connect(self.cancel)
        self.pause_button.clicked.connect(self._pause)
        self.training_button.clicked.connect(lambda _=False: self.training_requested.emit(self.running))
        self.queue_button.clicked.connect(self.queue_requested)
        session.queue.changed.connect(self._show)
        session.queue.progress_changed.connect(self._show_progress)
        session.worker_status.changed.connect(self._show)
        session.generation.submitting.connect(self._show_submitting)
        session.generation.refused.connect(lambda _: self._show())
        session.generation.licence_required.connect(lambda _: self._show())
        session.workspace.tool_changed.connect(self._show)
        session.drafts.latency_changed.connect(self._show_latency)
        self._show()

    @property
    def running(self) -> Job | None:
        """The job in the bar: one of the latest Generate if it runs, otherwise the first running job."""
        running = self._session.queue.status().running
        return next((job for job in running if job.id in self._session.variations.jobs), next(iter(running), None))

    def _show(self) -> None:
        job = self.running
        self.training_button.setVisible(job is not None and job.lane is Lane.TRAINING)
        for part in (self.bar, self._progress_text, self.cancel_button):
            part.setVisible(job is not None)
        if job is None:
            self._task.setText(self._describe_idle())
            self.pause_button.hide()
        else:
            self._task.setText(self._describe_job(job))
            self.pause_button.setVisible(self._session.controls.can_pause(job))
            self._show_progress(self._session.queue.progress(job.id) or JobProgress(job.id, 0, 0))
        self._show_queue()
        self._show_device()

    def _describe_idle(self) -> str:
        standing = self._session.queue.status()
        if self._session.controls.queue_paused and standing.queued:
            return "Queue paused"
        state = self._session.worker_status.state
        if state in (WorkerState.STARTING, WorkerState.RESTARTING) and standing.queued:
            jobs = "job runs" if standing.queued == 1 else "jobs run"
            return f"{_WORKER_STATES[state]} Then your {jobs}."
        return " · ".join(filter(None, (_WORKER_STATES[state], self._describe_latency())))

    def _describe_latency(self) -> str:
        seconds = self._session.drafts.latency
        return "" if seconds is None else f"mouse to paint {seconds * 1000:.0f} ms"

    def _show_latency(self) -> None:
        if self.running is None:
            self._task.setText(self._describe_idle())

    def _describe_job(self, job: Job) -> str:
        tool = self._session.workspace.catalogue.tools.get(job.recipe.tool)
        title = tool.title if tool else job.recipe.tool
        variations = self._session.variations
        if job.id in variations.jobs and variations.expected > 1:
            known_jobs = filter(None, map(self._session.queue.job, variations.jobs))
            done = sum(known.state.ended for known in known_jobs)
            return f"{title} {min(done + 1, variations.expected)} of {variations.expected}"
        return title

    def _show_submitting(self) -> None:
        if self.running is None:
            self._task.setText("Adding to the queue…")

    def _show_progress(self, progress: JobProgress) -> None:
        job = self.running
        if job is None or progress.job != job.id:
            return
        if progress.total > 0:
            fraction = min(1.0, max(0.0, progress.step / progress.total))
            self.bar.setRange(0, BAR_STEPS)
            self.bar.setValue(round(fraction * BAR_STEPS))
            parts = [f"{fraction:.0%}".replace("%", " %")]
        else:
            self.bar.setRange(0, 0)
            parts = []
        if progress.seconds_left >= 0:
            parts.append(f"{format_seconds(progress.seconds_left)} left")
        if progress.text:
            parts.append(progress.text)
        self._progress_text.setText(" · ".join(parts))

    def _show_queue(self) -> None:
        standing = self._session.queue.status()
        waiting = standing.queued + standing.paused
        text = f"{waiting} waiting" if waiting else f"{standing.failed} failed" if standing.failed else "Queue"
        self.queue_button.setText(text)
        labels.describe(self.queue_button, f"Queue, {text}" if text != "Queue" else "Queue", "Show the queue (Ctrl+J)")

    def _show_device(self) -> None:
        device = self._session.worker_status.device
        self._device.setVisible(device is not None and bool(device.kind))
        self._memory.setVisible(device is not None and device.memory_total > 0)
        if device is not None:
            self._device.setText(describe_device(device))
            used = max(0, device.memory_total - device.memory_free)
            self._memory.setText(f"Memory {format_memory(used)} of {format_memory(device.memory_total)}")
            used_by_workers = format_memory(self._session.worker_status.memory)
            self._memory.setToolTip(labels.make_tool_tip(f"The studio uses {used_by_workers} of it."))

    def _pause(self) -> None:
        if (job := self.running) is not None:
            self.pause.emit(job)
