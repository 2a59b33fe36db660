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
from studio.engine.crash_policy import crashed, reason_of
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

STEADY = 60.0
"""A worker that was ready for so many seconds does not count as failing to start."""
MOST_STARTS = 3
IDLE_GRACE = 0.2
"""Seconds that a worker without a job has to end when the studio is closed."""

logger = logging.getLogger(__name__)


class Host(Protocol):
    """What a lane needs of the engine. All calls come on the engine's thread."""

    @property
    def settings(self) -> Settings: ...

    def emit(self, event: EngineEvent) -> None: ...

    def spawn(self, lane: LaneRunner) -> WorkerProcess:
        """Raises OSError where no process can be started."""

    def next_job(self, lane: Lane) -> tuple[Job, bool] | None:
        """What to run next, and whether it is a draft."""

    def taken(self, job: Job) -> None:
        """What `next_job` named is about to run."""

    def store(self, job: Job) -> None: ...

    def current(self, job: Job) -> Job:
        """The job with what has changed in the queue meanwhile."""

    def files(self, recipe: Recipe) -> dict[str, str]:
        """Raises StudioError for an input that is gone."""

    def keep_folder(self, job: Job) -> Path: ...

    def title(self, tool: str) -> str: ...

    def found(self, lane: Lane, catalogue: Catalogue) -> None: ...

    def estimated(self, told: messages.EstimateResult) -> None: ...

    def learn(self, measured: messages.JobTiming) -> None: ...


@dataclass
class Running:
    job: Job
    draft: bool
    cancelled: bool = False
    give_up: float = math.inf
    """When a cancel that was not honoured ends the worker."""


class LaneRunner:
    """Every method is called on the engine's thread; times are those of `time.monotonic`, in seconds."""

    def __init__(self, lane: Lane, host: Host) -> None:
        self.lane = lane
        self.running: Running | None = None
        self._host = host
        self._worker: WorkerProcess | None = None
        self._state = WorkerState.GONE
        self._broken = False
        self._closing = False
        self._retiring = False
        self._outdated = False
        self._since = 0.0
        """When the worker was started, or became ready, or had nothing more to do."""
        self._heard_at = 0.0
        self._stop_by = math.inf
        self._end_reason = ""
        self._failed_starts = 0

    @property
    def alive(self) -> bool:
        return self._worker is not None

    @property
    def ready(self) -> bool:
        return self._state is WorkerState.READY and not self._retiring

    def start(self) -> None:
        """Starts the worker where none runs, also after it had failed for good."""
        self._broken = False
        self._failed_starts = 0
        if self._worker is None:
            self._spawn()

    def wake(self) -> None:
        """Starts what is next, if the lane is free."""
        if self._closing or self._broken or self.running or self._retiring:
            return
        if self._outdated and self._worker:
            self._retire()
            return
        while self.running is None and (self.ready or self._worker is None):
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
        """Asks the running job to end; its worker is ended where it does not in time."""
        if self.running and self.running.give_up == math.inf:
            self.running.cancelled = True
            self.running.give_up = time.monotonic() + self._host.settings.cancel_grace
            self.send(messages.Cancel(self.running.job.id))

    def supersede(self) -> None:
        """Asks a running draft to end for a newer one, and waits for it: a fresh worker would take longer."""
        if self.running and self.running.draft and not self.running.cancelled:
            self.running.cancelled = True
            self.send(messages.Cancel(self.running.job.id))

    def outdate(self) -> None:
        """The worker is replaced as soon as it is free, since the settings changed."""
        self._outdated = self._worker is not None

    def rest(self) -> None:
        """Ends the worker if it has nothing to do, to give its memory back."""
        if self.ready and self.running is None:
            self._retire()

    def reload(self) -> None:
        """Looks for plugins again, also after the worker had failed for good."""
        if self._broken or (self._worker is None and self.lane is Lane.INTERACTIVE):
            self.start()
        else:
            self.send(messages.Reload())

    def close(self, *, at_once: bool = False) -> None:
        self._closing = True
        if self._worker and not self._retiring:
            self._retire()
        if self._worker and self.running is None:
            self._stop_by = min(self._stop_by, time.monotonic() + IDLE_GRACE)
        if self._worker and at_once:
            self._worker.kill()

    def deadline(self) -> float:
        """When `expire` has something to do, if nothing else happens before."""
        if self._end_reason:  # it was killed, and its end is on the way
            return math.inf
        times = [self._stop_by]
        if self.running:
            times += [self.running.give_up, self._heard_at + self._host.settings.hang_limit]
        elif self._state is not WorkerState.READY and self._worker:
            times.append(self._since + self._host.settings.hang_limit)
        elif self._worker and self.lane is Lane.TRAINING and not self._retiring:
            times.append(self._since + self._host.settings.idle_limit)
        return min(times)

    def expire(self, now: float) -> None:
        """Ends what has taken too long."""
        worker = self._worker
        if worker is None or now < self.deadline():
            return
        if now >= self._stop_by:
            self._stop_by = math.inf
            worker.kill()
        elif self.running and now >= self.running.give_up:
            self.running.give_up = math.inf
            worker.kill()
        elif self.running:
            self._end_reason = f"the worker did not answer for {self._host.settings.hang_limit:.0f} seconds"
            worker.kill()
        elif self._state is not WorkerState.READY:
            self._end_reason = f"the worker took over {self._host.settings.hang_limit:.0f} seconds to load the plugins"
            worker.kill()
        else:
            self._retire()

    def heard(self, worker: WorkerProcess, message: FromWorker, creation: Creation | None = None) -> None:
        """`creation` is what the library made of a `Saved`."""
        if worker is not self._worker:
            return
        self._heard_at = time.monotonic()
        match message:
            case messages.Ready():
                self._became_ready(message)
            case messages.Heartbeat(memory, device):
                self._host.emit(MemoryChanged(self.lane, memory, device))
            case messages.MemoryFreed(freed):
                self._host.emit(messages.JobNotice("", f"{format_memory(freed)} of memory were given back."))
            case messages.EstimateResult():
                self._host.estimated(message)
            case messages.Hello():
                pass
            case _:
                if self.running and message.job == self.running.job.id:
                    self._heard_of_job(self.running, message, creation)

    def died(self, worker: WorkerProcess, status: int) -> None:
        if worker is not self._worker:
            return
        logger.info("The %s worker %d ended with status %d", self.lane.value, worker.pid, status)
        ready, self._state = self._state is WorkerState.READY, WorkerState.GONE
        wanted, reason = self._retiring, self._end_reason or reason_of(status)
        self._worker, self._retiring, self._stop_by, self._end_reason = None, False, math.inf, ""
        self._outdated = False
        sentence = ""
        if self.running:
            sentence = self._lost(self.running, wanted, reason, worker)
        elif not wanted:
            sentence = self._failed_to_start(worker, reason, ready)
        if self.lane is Lane.INTERACTIVE and not (self._broken or self._closing):
            self._spawn(sentence)
        else:
            self._host.emit(WorkerChanged(self.lane, WorkerState.GONE, sentence=sentence))

    def _spawn(self, sentence: str = "") -> None:
        """`sentence` says why, where it is not the first. The word goes out first: a start takes a while."""
        self._state = WorkerState.RESTARTING if sentence else WorkerState.STARTING
        self._host.emit(WorkerChanged(self.lane, self._state, sentence=sentence))
        try:
            self._worker = self._host.spawn(self)
        except OSError as error:
            self._broken = True
            self._state = WorkerState.GONE
            reason = f"The worker cannot be started: {error.strerror or error}."
            self._host.emit(WorkerChanged(self.lane, WorkerState.GONE, sentence=reason))
        self._since = self._heard_at = time.monotonic()

    def _retire(self) -> None:
        self._retiring = True
        self._stop_by = time.monotonic() + self._host.settings.cancel_grace
        if self._worker:
            self._worker.send(messages.Shutdown())
            self._worker.end_input()

    def _became_ready(self, message: messages.Ready) -> None:
        if self._state is not WorkerState.READY:
            self._since = time.monotonic()
            self._state = WorkerState.READY
        self._host.found(self.lane, message.catalogue)
        self._host.emit(WorkerChanged(self.lane, WorkerState.READY, message.device))

    def _run(self, job: Job, draft: bool) -> None:
        assert self._worker
        self._host.taken(job)
        try:
            paths = self._host.files(job.recipe)
        except StudioError as error:
            self.running = Running(job, draft)
            self._end(JobState.FAILED, Failure(error.kind, str(error)))
            return
        if not draft:
            job = replace(job, state=JobState.RUNNING, failure=None)
            self._host.store(job)
        self.running = Running(job, draft)
        self._heard_at = time.monotonic()
        checkpoint_dir = "" if draft else str(self._host.keep_folder(job))
        self._worker.send(
            messages.RunJob(
                job=job.id,
                recipe=job.recipe,
                files=paths,
                format=job.format,
                draft=draft,
                checkpoint_dir=checkpoint_dir,
            )
        )
        if not draft:
            self._host.emit(JobChanged(job))

    def _heard_of_job(self, running: Running, message: FromWorker, creation: Creation | None) -> None:
        match message:
            case messages.JobProgress() | messages.PreviewFrame() | messages.JobNotice():
                self._host.emit(message)
            case messages.ResultSaved():
                self._saved(running, message, creation)
            case messages.JobFinished(_, timing):
                if timing:
                    self._host.learn(timing)
                self._end(JobState.DONE)
            case messages.JobFailed(_, failure):
                self._end(JobState.FAILED, failure)
            case messages.JobCancelled():
                self._end(JobState.QUEUED if self._retiring and not running.cancelled else JobState.CANCELLED)
            case messages.JobPaused():
                self._end(JobState.PAUSED)

    def _saved(self, running: Running, message: messages.ResultSaved, creation: Creation | None) -> None:
        if creation is None:
            return
        job = self._host.current(running.job)
        if creation.id not in job.outputs:
            running.job = replace(job, outputs=(*job.outputs, creation.id))
            self._host.store(running.job)
        self._host.emit(Created(message.job, creation))
        self._host.emit(JobChanged(running.job))

    def _end(self, state: JobState, failure: Failure | None = None) -> None:
        running = self.running
        assert running
        self.running = None
        self._failed_starts = 0
        self._since = time.monotonic()
        if running.draft:
            if failure:
                self._host.emit(messages.JobNotice(running.job.id, failure.sentence, NoticeLevel.WARNING))
            self._host.emit(JobForgotten(running.job.id))
            return
        job = replace(self._host.current(running.job), state=state, failure=failure)
        self._host.store(job)
        self._host.emit(JobChanged(job))

    def _lost(self, running: Running, wanted: bool, reason: str, worker: WorkerProcess) -> str:
        """The worker is gone and the job was not over. Returns what to say of it."""
        title = self._host.title(running.job.recipe.tool)
        if running.draft:
            self._end(JobState.CANCELLED)
            return "" if wanted else f"{title} failed: {reason}."
        if running.cancelled:
            self._end(JobState.CANCELLED)
            return f"{title} did not stop in time, so its worker was ended."
        if wanted:
            self._end(JobState.QUEUED)
            return ""
        job = crashed(self._host.current(running.job), title, reason, worker.log_tail())
        self.running = None
        self._host.store(job)
        self._host.emit(JobChanged(job))
        return job.failure.sentence if job.failure else ""

    def _failed_to_start(self, worker: WorkerProcess, reason: str, ready: bool) -> str:
        if ready and time.monotonic() - self._since > STEADY:
            self._failed_starts = 0
        self._failed_starts += 1
        if self._failed_starts < MOST_STARTS:
            return f"{reason[0].upper()}{reason[1:]}."
        self._broken = True
        said = next((line.strip() for line in reversed(worker.log_tail().splitlines()) if line.strip()), "nothing")
        return f"The worker ended {MOST_STARTS} times in a row and is not started again. It last said: {said}"
