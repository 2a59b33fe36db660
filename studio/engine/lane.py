"""One lane: its worker process, and the job that it runs."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from studio.core import messages
from studio.core.descriptor import Catalogue
from studio.core.errors import Failure, StudioError
from studio.core.humanize import format_memory
from studio.core.job import Job, JobState, Lane
from studio.core.messages import FromWorker
from studio.core.notices import NoticeLevel
from studio.core.recipe import Recipe
from studio.core.settings import Settings
from studio.engine.crash_policy import after_crash, describe_exit
from studio.engine.interface import (
    Created,
    EngineEvent,
    JobChanged,
    JobForgotten,
    MemoryChanged,
    WorkerChanged,
    WorkerState,
)
from studio.engine.worker_process import WorkerProcess
from studio.library.creation import Creation

STABLE_SECONDS = 60.0
"""A worker that was ready for so many seconds does not count as a failed start."""
MAX_FAILED_STARTS = 3
IDLE_GRACE = 0.2
"""Seconds that a worker without a job has to end when the studio is closed."""

logger = logging.getLogger(__name__)


class Host(Protocol):
    """The part of the engine that a lane uses. All calls come on the engine's thread."""

    @property
    def settings(self) -> Settings: ...

    def emit(self, event: EngineEvent) -> None: ...

    def spawn(self, lane: LaneRunner) -> WorkerProcess:
        """Start a worker process. Raises OSError where that fails."""

    def next_job(self, lane: Lane) -> tuple[Job, bool] | None:
        """Return the job to run next, and whether it is a draft."""

    def store(self, job: Job) -> None: ...

    def current(self, job: Job) -> Job:
        """Return the job with what has changed in the queue meanwhile."""

    def input_paths(self, recipe: Recipe) -> dict[str, str]:
        """Return the path of each input. Raises StudioError for one that is gone."""

    def checkpoint_dir(self, job: Job) -> Path: ...

    def tool_title(self, tool: str) -> str: ...

    def on_started(self, job: Job) -> None:
        """Handle that the job of `next_job` is about to run."""

    def on_catalogue(self, lane: Lane, catalogue: Catalogue) -> None: ...

    def on_estimate(self, result: messages.EstimateResult) -> None: ...

    def on_timing(self, timing: messages.JobTiming) -> None: ...


@dataclass
class RunningJob:
    job: Job
    is_draft: bool
    is_cancelled: bool = False
    kill_time: float = math.inf
    """Time at which the worker is killed, because it ignores a cancel."""


class LaneRunner:
    """Every method is called on the engine's thread; times are those of `time.monotonic`, in seconds."""

    def __init__(self, lane: Lane, host: Host) -> None:
        self.lane = lane
        self.running: RunningJob | None = None
        self._host = host
        self._worker: WorkerProcess | None = None
        self._state = WorkerState.GONE
        self._broken = False
        self._closing = False
        self._retiring = False
        self._outdated = False
        self._state_time = 0.0
        """Time at which the worker was started, became ready, or ended a job."""
        self._message_time = 0.0
        self._retire_deadline = math.inf
        self._kill_reason = ""
        self._failed_starts = 0

    @property
    def has_worker(self) -> bool:
        return self._worker is not None

    @property
    def is_ready(self) -> bool:
        return self._state is WorkerState.READY and not self._retiring

    def start(self) -> None:
        """Start the worker where none runs, also after it failed too often."""
        self._broken = False
        self._failed_starts = 0
        if self._worker is None:
            self._spawn()

    def start_next(self) -> None:
        """Start the next job, if the lane is free."""
        if self._closing or self._broken or self.running or self._retiring:
            return
        if self._outdated and self._worker:
            self._retire()
            return
        while self.running is None and (self.is_ready or self._worker is None):
            found = self._host.next_job(self.lane)
            if found is None:
                return
            if self._worker is None:
                self._spawn()
                return
            self._run(*found)

    def send(self, message: messages.ToWorker) -> None:
        if self._worker:
            self._worker.send(message)

    def cancel(self) -> None:
        """Ask the running job to end; its worker is killed if it does not in time."""
        if self.running and self.running.kill_time == math.inf:
            self.running.is_cancelled = True
            self.running.kill_time = time.monotonic() + self._host.settings.cancel_grace
            self.send(messages.Cancel(self.running.job.id))

    def cancel_draft(self) -> None:
        """Ask a running draft to end, and wait for it without limit: a fresh worker would take longer."""
        if self.running and self.running.is_draft and not self.running.is_cancelled:
            self.running.is_cancelled = True
            self.send(messages.Cancel(self.running.job.id))

    def replace_worker(self) -> None:
        """Replace the worker as soon as it is free, since the settings changed."""
        self._outdated = self._worker is not None

    def end_if_idle(self) -> None:
        """End the worker if it has nothing to do, to release its memory."""
        if self.is_ready and self.running is None:
            self._retire()

    def reload(self) -> None:
        """Look for plugins again, also after the worker failed too often."""
        if self._broken or (self._worker is None and self.lane is Lane.INTERACTIVE):
            self.start()
        else:
            self.send(messages.Reload())

    def close(self, *, at_once: bool = False) -> None:
        self._closing = True
        if self._worker and not self._retiring:
            self._retire()
        if self._worker and self.running is None:
            self._retire_deadline = min(self._retire_deadline, time.monotonic() + IDLE_GRACE)
        if self._worker and at_once:
            self._worker.kill()

    def deadline(self) -> float:
        """Return the time at which `enforce_deadline` has something to do, if nothing else happens before."""
        if self._kill_reason:  # it was killed, and its end is on the way
            return math.inf
        times = [self._retire_deadline]
        if self.running:
            times += [self.running.kill_time, self._message_time + self._host.settings.hang_limit]
        elif self._state is not WorkerState.READY and self._worker:
            times.append(self._state_time + self._host.settings.hang_limit)
        elif self._worker and self.lane is Lane.TRAINING and not self._retiring:
            times.append(self._state_time + self._host.settings.idle_limit)
        return min(times)

    def enforce_deadline(self, now: float) -> None:
        """End what has taken too long."""
        worker = self._worker
        if worker is None or now < self.deadline():
            return
        if now >= self._retire_deadline:
            self._retire_deadline = math.inf
            worker.kill()
        elif self.running and now >= self.running.kill_time:
            self.running.kill_time = math.inf
            worker.kill()
        elif self.running:
            self._kill_reason = f"the worker did not answer for {self._host.settings.hang_limit:.0f} seconds"
            worker.kill()
        elif self._state is not WorkerState.READY:
            self._kill_reason = f"the worker took over {self._host.settings.hang_limit:.0f} seconds to load the plugins"
            worker.kill()
        else:
            self._retire()

    # Messages of the worker
    def on_message(self, worker: WorkerProcess, message: FromWorker, creation: Creation | None = None) -> None:
        """Handle a message. `creation` is what the library indexed for a `ResultSaved`."""
        if worker is not self._worker:
            return
        self._message_time = time.monotonic()
        match message:
            case messages.Ready():
                self._on_ready(message)
            case messages.Heartbeat(memory, device):
                self._host.emit(MemoryChanged(self.lane, memory, device))
            case messages.MemoryFreed(count):
                self._host.emit(messages.JobNotice("", f"{format_memory(count)} of memory were released."))
            case messages.EstimateResult():
                self._host.on_estimate(message)
            case messages.InspectionProgress() | messages.InspectionResult():
                self._host.emit(message)
            case messages.Hello():
                pass
            case _:
                if self.running and message.job == self.running.job.id:
                    self._on_job_message(self.running, message, creation)

    def _on_ready(self, message: messages.Ready) -> None:
        if self._state is not WorkerState.READY:
            self._state_time = time.monotonic()
            self._state = WorkerState.READY
        self._host.on_catalogue(self.lane, message.catalogue)
        self._host.emit(WorkerChanged(self.lane, WorkerState.READY, message.device))

    def _on_job_message(self, running: RunningJob, message: FromWorker, creation: Creation | None) -> None:
        match message:
            case messages.JobProgress() | messages.PreviewFrame() | messages.ImageCaptioned() | messages.JobNotice():
                self._host.emit(message)
            case messages.ResultSaved():
                self._on_result(running, message, creation)
            case messages.WorkMeasured(_, timing):
                self._host.on_timing(timing)
            case messages.JobFinished(_, timing):
                if timing:
                    self._host.on_timing(timing)
                self._end_job(JobState.DONE)
            case messages.JobFailed(_, failure):
                self._end_job(JobState.FAILED, failure)
            case messages.JobCancelled():
                self._end_job(self._state_after_stop(running, JobState.CANCELLED))
            case messages.JobPaused(_, failure):
                self._end_job(self._state_after_stop(running, JobState.PAUSED), failure)

    def _state_after_stop(self, running: RunningJob, otherwise: JobState) -> JobState:
        """Return the state of a job that stopped before its end. It is queued again where the studio ended."""
        if running.is_cancelled:
            return JobState.CANCELLED
        return JobState.QUEUED if self._retiring else otherwise

    def _on_result(self, running: RunningJob, message: messages.ResultSaved, creation: Creation | None) -> None:
        if creation is None:
            return
        job = self._host.current(running.job)
        if creation.id not in job.outputs:
            running.job = replace(job, outputs=(*job.outputs, creation.id))
            self._host.store(running.job)
        self._host.emit(Created(message.job, creation))
        self._host.emit(JobChanged(running.job))

    # The job
    def _run(self, job: Job, is_draft: bool) -> None:
        assert self._worker
        self._host.on_started(job)
        try:
            paths = self._host.input_paths(job.recipe)
        except StudioError as error:
            self.running = RunningJob(job, is_draft)
            self._end_job(JobState.FAILED, Failure(error.kind, str(error)))
            return
        if not is_draft:
            job = replace(job, state=JobState.RUNNING, failure=None)
            self._host.store(job)
        self.running = RunningJob(job, is_draft)
        self._message_time = time.monotonic()
        self._worker.send(
            messages.RunJob(
                job=job.id,
                recipe=job.recipe,
                files=paths,
                format=job.format,
                draft=is_draft,
                checkpoint_dir="" if is_draft else str(self._host.checkpoint_dir(job)),
            )
        )
        if not is_draft:
            self._host.emit(JobChanged(job))

    def _end_job(self, state: JobState, failure: Failure | None = None) -> None:
        running = self.running
        assert running
        self.running = None
        self._failed_starts = 0
        self._state_time = time.monotonic()
        if running.is_draft:
            if failure:
                self._host.emit(messages.JobNotice(running.job.id, failure.sentence, NoticeLevel.WARNING))
            self._host.emit(JobForgotten(running.job.id))
            return
        job = replace(self._host.current(running.job), state=state, failure=failure)
        self._host.store(job)
        self._host.emit(JobChanged(job))

    # The worker process
    def _spawn(self, sentence: str = "") -> None:
        """Start a worker; `sentence` says why, where it is not the first. It is shown first: a start takes a while."""
        self._state = WorkerState.RESTARTING if sentence else WorkerState.STARTING
        self._host.emit(WorkerChanged(self.lane, self._state, sentence=sentence))
        try:
            self._worker = self._host.spawn(self)
        except OSError as error:
            self._broken = True
            self._state = WorkerState.GONE
            reason = f"The worker cannot be started: {error.strerror or error}."
            self._host.emit(WorkerChanged(self.lane, WorkerState.GONE, sentence=reason))
        self._state_time = self._message_time = time.monotonic()

    def _retire(self) -> None:
        self._retiring = True
        self._retire_deadline = time.monotonic() + self._host.settings.cancel_grace
        if self._worker:
            self._worker.send(messages.Shutdown())
            self._worker.end_input()

    def on_exit(self, worker: WorkerProcess, status: int) -> None:
        """Handle the end of the worker process: end its job, and start another worker where one is needed."""
        if worker is not self._worker:
            return
        logger.info("The %s worker %d ended with status %d", self.lane.value, worker.pid, status)
        was_ready, self._state = self._state is WorkerState.READY, WorkerState.GONE
        was_retired, reason = self._retiring, self._kill_reason or describe_exit(status)
        self._worker, self._retiring, self._retire_deadline, self._kill_reason = None, False, math.inf, ""
        self._outdated = False
        sentence = ""
        if self.running:
            sentence = self._end_lost_job(self.running, was_retired, reason, worker)
        elif not was_retired:
            sentence = self._count_failed_start(worker, reason, was_ready)
        if self.lane is Lane.INTERACTIVE and not (self._broken or self._closing):
            self._spawn(sentence)
        else:
            self._host.emit(WorkerChanged(self.lane, WorkerState.GONE, sentence=sentence))

    def _end_lost_job(self, running: RunningJob, was_retired: bool, reason: str, worker: WorkerProcess) -> str:
        """End the job whose worker is gone. Returns a sentence about it, or an empty text."""
        title = self._host.tool_title(running.job.recipe.tool)
        if running.is_draft:
            self._end_job(JobState.CANCELLED)
            return "" if was_retired else f"{title} failed: {reason}."
        if running.is_cancelled:
            self._end_job(JobState.CANCELLED)
            return f"{title} did not stop in time, so its worker was ended."
        if was_retired:
            self._end_job(JobState.QUEUED)
            return ""
        job = after_crash(self._host.current(running.job), title, reason, worker.log_tail())
        self.running = None
        self._host.store(job)
        self._host.emit(JobChanged(job))
        return job.failure.sentence if job.failure else ""

    def _count_failed_start(self, worker: WorkerProcess, reason: str, was_ready: bool) -> str:
        """Give up after several failed starts in a row. Returns a sentence about it."""
        if was_ready and time.monotonic() - self._state_time > STABLE_SECONDS:
            self._failed_starts = 0
        self._failed_starts += 1
        if self._failed_starts < MAX_FAILED_STARTS:
            return f"{reason[0].upper()}{reason[1:]}."
        self._broken = True
        lines = [line.strip() for line in worker.log_tail().splitlines() if line.strip()]
        last_line = lines[-1] if lines else "(nothing)"
        return (
            f"The worker ended {MAX_FAILED_STARTS} times in a row and is not started again. "
            f"The last line of its log: {last_line}"
        )
