"""The engine that runs jobs in processes of this machine."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from studio.core import messages, paths
from studio.core.descriptor import Catalogue
from studio.core.errors import StudioError
from studio.core.job import Job, JobState, Lane, new_job_id
from studio.core.messages import FromWorker
from studio.core.notices import NoticeLevel
from studio.core.paths import Home
from studio.core.recipe import Recipe
from studio.core.settings import Settings
from studio.engine import catalogue_cache, recipe_builder
from studio.engine.home_lock import HomeLock
from studio.engine.interface import CatalogueChanged, EngineEvent, EstimateReady, JobChanged, JobForgotten, Listener
from studio.engine.job_queue import JobQueue
from studio.engine.lane import LaneRunner
from studio.engine.plugin_fingerprint import fingerprint
from studio.engine.throughput import Rates
from studio.engine.worker_process import WorkerProcess
from studio.library.creation import Creation

if TYPE_CHECKING:
    from studio.library.library import Library

ENVIRONMENT = {"PYTHONUTF8": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""For workers, where the user has not said otherwise. They share the cores with the window and each other,
and threads that wait by spinning would take several times as long."""

logger = logging.getLogger(__name__)


class LocalEngine:
    """Implements `interface.Engine`.

    One thread owns the workers and calls the listeners; every public method may be called
    from any thread.
    """

    def __init__(
        self,
        home: Home,
        library: Library,
        settings: Settings,
        *,
        durable: bool = True,
        worker: Sequence[str] = (sys.executable, "-P", "-m", "studio.worker"),
    ) -> None:
        """A durable engine keeps its queue on disk and holds the home's lock; another keeps it in memory.

        `worker` is the command that starts one; options are added to it. Raises StudioError
        when another studio holds the lock, or a newer one wrote the queue.
        """
        home.make()
        self._home = home
        self._library = library
        self._settings = settings
        self._command = tuple(worker)
        self._lock = HomeLock(home.root / "studio.lock") if durable else None
        try:
            self._queue = JobQueue(home.queue if durable else None)
        except BaseException:
            self._release()
            raise
        self._keep = home.jobs if durable else Path(tempfile.mkdtemp(prefix="studio-jobs-"))
        self._temporary = not durable
        self._catalogue = catalogue_cache.load(home.descriptors)
        self._rates = Rates(home.rates)
        self._fingerprints: dict[Lane, str] = {}
        self._draft: Job | None = None
        self._listeners: list[Listener] = []
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lanes = {lane: LaneRunner(lane, self) for lane in Lane}
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._closing = False

    # -- for the window and the command line --

    @property
    def catalogue(self) -> Catalogue:
        return self._catalogue

    @property
    def held(self) -> bool:
        return self._queue.held

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        self._listeners = [*self._listeners, listener]

        def leave() -> None:
            self._listeners = [one for one in self._listeners if one is not listener]

        return leave

    def start(self, *, ahead: bool = True) -> None:
        """With `ahead`, the interactive worker starts before there is a job for it."""
        if not self._thread.is_alive():
            self._thread.start()
            self._inbox.put(self._tidy)
        if ahead:
            self._inbox.put(self._lanes[Lane.INTERACTIVE].start)

    def close(self, *, at_once: bool = False) -> None:
        """Ends the workers, after `Settings.cancel_grace` seconds at the latest, or at once."""
        self._inbox.put(partial(self._close, at_once))
        if self._thread.is_alive():
            self._thread.join()
        self._queue.close()
        if self._temporary:
            shutil.rmtree(self._keep, ignore_errors=True)
        self._release()

    def configure(self, settings: Settings) -> None:
        self._inbox.put(partial(self._configure, settings))

    def submit(self, recipe: Recipe, *, count: int = 1, format: str = "") -> list[Job]:
        jobs = self._queue.add(
            Job(
                id=new_job_id(),
                recipe=replace(recipe, seed=(recipe.seed + number) % recipe_builder.SEEDS),
                lane=self._lane_of(recipe),
                format=format,
                created=recipe.created,
            )
            for number in range(count)
        )
        self._inbox.put(partial(self._submitted, jobs))
        return jobs

    def draft(self, recipe: Recipe) -> str:
        job = Job(id=new_job_id(), recipe=recipe)
        self._inbox.put(partial(self._take_draft, job))
        return job.id

    def estimate(self, tool: str, values: Mapping[str, Any]) -> str:
        id = new_job_id()
        self._inbox.put(partial(self._ask, id, tool, dict(values)))
        return id

    def jobs(self) -> list[Job]:
        return self._queue.all()

    def running(self) -> Sequence[Job]:
        return [job for job in self._queue.waiting() if job.state is JobState.RUNNING]

    def cancel(self, job: str) -> None:
        self._inbox.put(partial(self._cancel, job))

    def cancel_all(self) -> None:
        self._inbox.put(self._cancel_all)

    def pause(self, job: str) -> None:
        self._inbox.put(partial(self._pause, job))

    def resume(self, job: str) -> None:
        self._inbox.put(partial(self._resume, job))

    def forget(self, job: str) -> None:
        self._inbox.put(partial(self._forget, job))

    def move(self, job: str, before: str | None) -> None:
        self._inbox.put(partial(self._move, job, before))

    def hold(self, on: bool) -> None:
        self._queue.held = on
        self._inbox.put(lambda: None)

    def free_memory(self) -> None:
        self._inbox.put(self._free_memory)

    def reload_plugins(self) -> None:
        self._inbox.put(self._reload)

    # -- for the lanes (`lane.Host`), on the engine's thread --

    @property
    def settings(self) -> Settings:
        return self._settings

    def emit(self, event: EngineEvent) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                logger.exception("A listener failed on %s", type(event).__name__)

    def spawn(self, lane: LaneRunner) -> WorkerProcess:
        self._fingerprints[lane.lane] = fingerprint(self._home, self._settings)
        options = ["--home", str(self._home.root), "--lane", lane.lane.value, "--device", self._settings.device]
        path = [str(paths.PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
        return WorkerProcess(
            [*self._command, *options],
            environment={**ENVIRONMENT, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
            folder=self._home.root,
            log=self._home.logs / f"worker-{lane.lane.value}.log",
            heard=partial(self._hear, lane),
            died=lambda worker, status: self._inbox.put(partial(lane.died, worker, status)),
        )

    def next_job(self, lane: Lane) -> tuple[Job, bool] | None:
        if lane is Lane.INTERACTIVE and self._draft:
            return self._draft, True
        job = None if self._queue.held else self._queue.next(lane)
        return (job, False) if job else None

    def taken(self, job: Job) -> None:
        if job is self._draft:
            self._draft = None

    def store(self, job: Job) -> None:
        dropped: list[str] = []
        try:
            dropped = self._queue.put(job)
        except StudioError as error:
            self.emit(messages.JobNotice(job.id, str(error), NoticeLevel.WARNING))
        if job.state is JobState.DONE:
            self._drop_kept(job.id)
        for old in dropped:
            self._drop_kept(old)
            self.emit(JobForgotten(old))

    def current(self, job: Job) -> Job:
        return self._queue.get(job.id) or job

    def files(self, recipe: Recipe) -> dict[str, str]:
        return recipe_builder.files(recipe, self._library)

    def keep_folder(self, job: Job) -> Path:
        return self._keep / job.id

    def title(self, tool: str) -> str:
        described = self._catalogue.tools.get(tool)
        return described.title if described else tool

    def found(self, lane: Lane, catalogue: Catalogue) -> None:
        catalogue = Catalogue(catalogue.plugins, self._fingerprints[lane])
        if catalogue == self._catalogue:
            return
        self._catalogue = catalogue
        try:
            catalogue_cache.save(self._home.descriptors, catalogue)
        except StudioError as error:
            logger.warning("The plugins could not be remembered: %s", error)
        self.emit(CatalogueChanged(catalogue))

    def estimated(self, told: messages.EstimateResult) -> None:
        self.emit(self._rates.estimate(told))

    def learn(self, measured: messages.JobTiming) -> None:
        try:
            self._rates.learn(measured)
        except StudioError as error:
            logger.warning("What a job took could not be remembered: %s", error)

    # -- the engine's thread --

    def _work(self) -> None:
        while True:
            deadline = min(lane.deadline() for lane in self._lanes.values())
            wait = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
            try:
                call = self._inbox.get(timeout=wait)
            except Empty:
                call = None
            try:
                if call:
                    call()
                for lane in self._lanes.values():
                    lane.expire(time.monotonic())
                    lane.wake()
            except Exception:
                logger.exception("The engine failed at %s", call)
            if self._closing and not any(lane.alive for lane in self._lanes.values()):
                return

    def _hear(self, lane: LaneRunner, worker: WorkerProcess, message: FromWorker) -> None:
        """On the worker's reading thread, where indexing a large file holds up nobody else."""
        creation: Creation | None = None
        if isinstance(message, messages.ResultSaved):
            try:
                creation = self._library.add(Path(message.path), digest=message.digest)
            except Exception as error:
                logger.exception("%s could not be indexed", message.path)
                text = f"{Path(message.path).name} is saved, but the index does not have it yet: {error}"
                self._inbox.put(partial(lane.heard, worker, messages.JobNotice(message.job, text, NoticeLevel.WARNING)))
        self._inbox.put(partial(lane.heard, worker, message, creation))

    def _close(self, at_once: bool) -> None:
        self._closing = True
        for lane in self._lanes.values():
            lane.close(at_once=at_once)

    def _tidy(self) -> None:
        """What was kept for jobs that are no more, and a word about a damaged queue."""
        if self._queue.notice:
            self.emit(messages.JobNotice("", self._queue.notice, NoticeLevel.WARNING))
        for folder in self._keep.iterdir() if self._keep.is_dir() else ():
            job = self._queue.get(folder.name)
            if job is None or job.state is JobState.DONE:
                shutil.rmtree(folder, ignore_errors=True)

    def _configure(self, settings: Settings) -> None:
        old, self._settings = self._settings, settings
        if (old.device, old.disabled_plugins) != (settings.device, settings.disabled_plugins):
            for lane in self._lanes.values():
                lane.outdate()

    def _submitted(self, jobs: Sequence[Job]) -> None:
        """A picture that was asked for does not wait for a draft."""
        if any(job.lane is Lane.INTERACTIVE for job in jobs):
            self._drop_draft()
        for job in jobs:
            self.emit(JobChanged(self.current(job)))

    def _take_draft(self, job: Job) -> None:
        self._drop_draft()
        self._draft = job

    def _ask(self, id: str, tool: str, values: Mapping[str, Any]) -> None:
        """What the artist is still typing is no error."""
        lane, described = self._lanes[Lane.INTERACTIVE], self._catalogue.tools.get(tool)
        if lane.ready and described:
            try:
                lane.send(messages.EstimateRequest(id, tool, recipe_builder.located(described, values, self._library)))
            except (StudioError, OSError, ValueError):
                self.emit(EstimateReady(id))

    def _drop_draft(self) -> None:
        if self._draft:
            self.emit(JobForgotten(self._draft.id))
            self._draft = None
        self._lanes[Lane.INTERACTIVE].supersede()

    def _cancel(self, job: str) -> None:
        if self._draft and self._draft.id == job:
            self._drop_draft()
        for lane in self._lanes.values():
            if lane.running and lane.running.job.id == job:
                if not lane.running.draft:
                    self._try(job, partial(self._queue.wants_stop, job))
                lane.cancel()
                return
        known_job = self._queue.get(job)
        if known_job and not known_job.state.ended:
            self._become(replace(known_job, state=JobState.CANCELLED))

    def _cancel_all(self) -> None:
        for job in self._queue.waiting():
            if job.state is not JobState.PAUSED:
                self._cancel(job.id)

    def _pause(self, job: str) -> None:
        known_job = self._queue.get(job)
        if known_job is None:
            return
        if known_job.state is JobState.QUEUED:
            self._become(replace(known_job, state=JobState.PAUSED))
        elif known_job.state is JobState.RUNNING:
            tool = self._catalogue.tools.get(known_job.recipe.tool)
            if tool and tool.pausable:
                self._lanes[known_job.lane].send(messages.Pause(job))
            else:
                self.emit(messages.JobNotice(job, f"{self.title(known_job.recipe.tool)} cannot be paused."))

    def _resume(self, job: str) -> None:
        known_job = self._queue.get(job)
        if known_job and (known_job.state.ended or known_job.state is JobState.PAUSED):
            self._try(job, lambda: self.emit(JobChanged(self._queue.requeue(known_job))))

    def _forget(self, job: str) -> None:
        def forget() -> None:
            if self._queue.forget(job):
                self._drop_kept(job)
                self.emit(JobForgotten(job))

        self._try(job, forget)

    def _move(self, job: str, before: str | None) -> None:
        def move() -> None:
            for moved in self._queue.move(job, before):
                self.emit(JobChanged(moved))

        self._try(job, move)

    def _become(self, job: Job) -> None:
        self.store(job)
        self.emit(JobChanged(job))

    def _try(self, job: str, call: Callable[[], None]) -> None:
        try:
            call()
        except StudioError as error:
            self.emit(messages.JobNotice(job, str(error), NoticeLevel.WARNING))

    def _free_memory(self) -> None:
        for lane in self._lanes.values():
            lane.send(messages.FreeMemory())
        self._lanes[Lane.TRAINING].rest()

    def _reload(self) -> None:
        now = fingerprint(self._home, self._settings)
        for lane in self._lanes.values():
            self._fingerprints[lane.lane] = now
            lane.reload()

    def _lane_of(self, recipe: Recipe) -> Lane:
        tool = self._catalogue.tools.get(recipe.tool)
        return Lane(tool.lane) if tool else Lane.INTERACTIVE

    def _drop_kept(self, job: str) -> None:
        shutil.rmtree(self._keep / job, ignore_errors=True)

    def _release(self) -> None:
        if self._lock:
            self._lock.release()
