"""The part of the engine that lanes use: settings, queue, catalogue, checkpoints, listeners."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core import messages, paths
from studio.core.descriptor import Catalogue
from studio.core.errors import StudioError
from studio.core.job import Job, JobState, Lane
from studio.core.messages import FromWorker
from studio.core.notices import NoticeLevel
from studio.core.paths import Home
from studio.core.recipe import Recipe
from studio.core.settings import Settings
from studio.core.training_record import FOLDER, TrainingRecord
from studio.engine import catalogue_cache, recipe_builder
from studio.engine.interface import CatalogueChanged, EngineEvent, JobForgotten, Listener
from studio.engine.job_queue import JobQueue
from studio.engine.lane import LaneRunner
from studio.engine.plugin_fingerprint import fingerprint
from studio.engine.throughput import Rates
from studio.engine.worker_process import WorkerProcess
from studio.library.creation import Creation

if TYPE_CHECKING:
    from studio.library.library import Library

NO_TELEMETRY = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
"""Environment of workers in which libraries send no statistics of use, whatever the user has set."""
ENVIRONMENT = {"PYTHONUTF8": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""Environment of workers, where the user has set nothing else. They share the cores with the window and each other,
and threads that wait by spinning would take several times as long."""

MAX_CANCELLED_AGE = 86_400.0
"""Seconds that the checkpoint of a cancelled job stays, for a retry."""

logger = logging.getLogger(__name__)


class LaneHost:
    """Implements `lane.Host`. Lanes call it on the engine's thread; `post` runs a call there."""

    def __init__(
        self,
        home: Home,
        library: Library,
        settings: Settings,
        queue: JobQueue,
        *,
        command: Sequence[str],
        checkpoints: Path,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self.settings = settings
        self.catalogue = catalogue_cache.load(home.descriptors)
        self.draft: Job | None = None
        """The draft that waits for the interactive lane."""
        self._home = home
        self._library = library
        self._queue = queue
        self._command = tuple(command)
        self._checkpoints = checkpoints
        self._own_checkpoints: dict[str, Path] = {}
        self._post = post
        self._rates = Rates(home.rates)
        self._fingerprints: dict[Lane, str] = {}
        self._listeners: list[Listener] = []

    # Listeners
    def subscribe(self, listener: Listener) -> Callable[[], None]:
        self._listeners = [*self._listeners, listener]

        def unsubscribe() -> None:
            self._listeners = [known for known in self._listeners if known is not listener]

        return unsubscribe

    def emit(self, event: EngineEvent) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                logger.exception("A listener failed on %s", type(event).__name__)

    def warn(self, job: str, sentence: str) -> None:
        self.emit(messages.JobNotice(job, sentence, NoticeLevel.WARNING))

    # Worker processes
    def spawn(self, lane: LaneRunner) -> WorkerProcess:
        self.note_fingerprint(lane.lane)
        options = ["--home", str(self._home.root), "--lane", lane.lane.value, "--device", self.settings.device]
        path = os.pathsep.join(filter(None, (str(paths.PACKAGE.parent), os.environ.get("PYTHONPATH", ""))))
        return WorkerProcess(
            [*self._command, *options],
            environment={**ENVIRONMENT, **os.environ, **NO_TELEMETRY, "PYTHONPATH": path},
            folder=self._home.root,
            log=self._home.logs / f"worker-{lane.lane.value}.log",
            on_message=partial(self._on_message, lane),
            on_exit=lambda worker, status: self._post(partial(lane.on_exit, worker, status)),
        )

    def note_fingerprint(self, *lanes: Lane) -> None:
        """Note the state of the plugins' files, which the next catalogue of these lanes belongs to."""
        self._fingerprints.update(dict.fromkeys(lanes, fingerprint(self._home, self.settings)))

    def _on_message(self, lane: LaneRunner, worker: WorkerProcess, message: FromWorker) -> None:
        """Index a result, and pass each message on. On the worker's reading thread: a large file delays nothing."""
        creation: Creation | None = None
        if isinstance(message, messages.ResultSaved):
            try:
                creation = self._library.add(Path(message.path), digest=message.digest)
            except Exception as error:
                logger.exception("%s could not be indexed", message.path)
                text = f"{Path(message.path).name} is saved, but is not in the history yet: {error}"
                notice = messages.JobNotice(message.job, text, NoticeLevel.WARNING)
                self._post(partial(lane.on_message, worker, notice))
        self._post(partial(lane.on_message, worker, message, creation))

    # Jobs
    def next_job(self, lane: Lane) -> tuple[Job, bool] | None:
        if lane is Lane.INTERACTIVE and self.draft:
            return self.draft, True
        job = None if self._queue.paused else self._queue.next(lane)
        return (job, False) if job else None

    def on_started(self, job: Job) -> None:
        if job is self.draft:
            self.draft = None

    def store(self, job: Job) -> None:
        for old in self.store_all(job):
            self.emit(JobForgotten(old))

    def store_all(self, *jobs: Job) -> list[str]:
        """Store the new state of jobs. Returns the ids of ended jobs that the queue has dropped; the caller announces
        them after the change."""
        dropped: list[str] = []
        try:
            dropped = self._queue.put(*jobs)
        except StudioError as error:
            self.warn(jobs[0].id if len(jobs) == 1 else "", str(error))
        for id in [*dropped, *(job.id for job in jobs if job.state is JobState.DONE)]:
            self.remove_checkpoints(id)
        return dropped

    def current(self, job: Job) -> Job:
        return self._queue.get(job.id) or job

    def input_paths(self, recipe: Recipe) -> dict[str, str]:
        return recipe_builder.input_paths(recipe, self._library)

    def checkpoint_dir(self, job: Job) -> Path:
        return self._own_checkpoints.get(job.id, self._checkpoints / job.id)

    def set_checkpoint_dir(self, job: str, folder: Path) -> None:
        """Keep the checkpoints of a job in a folder of its own."""
        self._own_checkpoints[job] = folder

    def training_record(self, job: str) -> TrainingRecord:
        return TrainingRecord(self._checkpoints / job / FOLDER)

    def remove_checkpoints(self, job: str) -> None:
        shutil.rmtree(self._own_checkpoints.pop(job, self._checkpoints / job), ignore_errors=True)

    def remove_stale_checkpoints(self) -> None:
        """Remove the checkpoints of jobs that are done or no longer in the queue, and of those cancelled a day ago."""
        for folder in self._checkpoints.iterdir() if self._checkpoints.is_dir() else ():
            job = self._queue.get(folder.name)
            is_old = job is not None and job.state is JobState.CANCELLED and _age_of(folder) > MAX_CANCELLED_AGE
            if job is None or job.state is JobState.DONE or is_old:
                shutil.rmtree(folder, ignore_errors=True)

    # Tools
    def tool_title(self, tool: str) -> str:
        descriptor = self.catalogue.tools.get(tool)
        return descriptor.title if descriptor else tool

    def on_catalogue(self, lane: Lane, catalogue: Catalogue) -> None:
        catalogue = Catalogue(catalogue.plugins, self._fingerprints[lane])
        if catalogue == self.catalogue:
            return
        self.catalogue = catalogue
        try:
            catalogue_cache.save(self._home.descriptors, catalogue)
        except StudioError as error:
            logger.warning("The plugins could not be remembered: %s", error)
        self.emit(CatalogueChanged(catalogue))

    def on_estimate(self, result: messages.EstimateResult) -> None:
        self.emit(self._rates.add_seconds(result))

    def on_timing(self, timing: messages.JobTiming) -> None:
        try:
            self._rates.record(timing)
        except StudioError as error:
            logger.warning("The time of a job could not be remembered: %s", error)


def _age_of(folder: Path) -> float:
    """Return the seconds since a file in a folder was changed."""
    times = [folder.stat().st_mtime, *(path.stat().st_mtime for path in folder.rglob("*"))]
    return time.time() - max(times)
