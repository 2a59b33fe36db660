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

from studio.core import messages
from studio.core.descriptor import Catalogue
from studio.core.errors import StudioError
from studio.core.job import Job, JobState, Lane, create_job_id
from studio.core.paths import Home
from studio.core.recipe import SEEDS, Recipe
from studio.core.settings import Settings
from studio.core.training_record import TrainingRecord
from studio.engine import recipe_builder
from studio.engine.home_lock import HomeLock
from studio.engine.interface import EstimateReady, JobChanged, JobForgotten, Listener
from studio.engine.job_queue import JobQueue
from studio.engine.lane import LaneRunner
from studio.engine.lane_host import LaneHost

if TYPE_CHECKING:
    from studio.library.library import Library

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
        """A durable engine keeps its queue on disk and locks the home; another keeps it in memory.

        `worker` is the command that starts one; options are added to it. Raises StudioError
        when another studio has locked the home, or a newer one wrote the queue.
        """
        home.create_folders()
        self._library = library
        self._lock = HomeLock(home.root / "studio.lock") if durable else None
        try:
            self._queue = JobQueue(home.queue if durable else None)
        except BaseException:
            self._release()
            raise
        self._temporary_folder = None if durable else _create_temporary_folder(home)
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._host = LaneHost(
            home,
            library,
            settings,
            self._queue,
            command=worker,
            checkpoints=self._temporary_folder or home.jobs,
            post=self._inbox.put,
        )
        self._lanes = {lane: LaneRunner(lane, self._host) for lane in Lane}
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._closing = False

    @property
    def catalogue(self) -> Catalogue:
        return self._host.catalogue

    @property
    def queue_paused(self) -> bool:
        return self._queue.paused

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        return self._host.subscribe(listener)

    def start(self, *, ahead: bool = True) -> None:
        """Start the engine; with `ahead` also the interactive worker, before there is a job for it."""
        if not self._thread.is_alive():
            self._thread.start()
            self._inbox.put(self._tidy)
        if ahead:
            self._inbox.put(self._lanes[Lane.INTERACTIVE].start)

    def close(self, *, at_once: bool = False) -> None:
        """End the workers, after `Settings.cancel_grace` seconds at the latest, or at once."""
        self._inbox.put(partial(self._close, at_once))
        if self._thread.is_alive():
            self._thread.join()
        self._queue.close()
        if self._temporary_folder:
            shutil.rmtree(self._temporary_folder, ignore_errors=True)
        self._release()

    def configure(self, settings: Settings) -> None:
        self._inbox.put(partial(self._configure, settings))

    def submit(self, recipe: Recipe, *, count: int = 1, format: str = "", checkpoints: Path | None = None) -> list[Job]:
        """Queue jobs. With `checkpoints`, that folder has one named by its seed for each."""
        jobs = [
            Job(
                id=create_job_id(),
                recipe=replace(recipe, seed=(recipe.seed + number) % SEEDS),
                lane=self._lane_of(recipe),
                format=format,
                created=recipe.created,
            )
            for number in range(count)
        ]
        if checkpoints:
            for job in jobs:
                self._host.set_checkpoint_dir(job.id, checkpoints / str(job.recipe.seed))
        jobs = self._queue.add(jobs)
        self._inbox.put(partial(self._announce, jobs))
        return jobs

    def draft(self, recipe: Recipe) -> str:
        job = Job(id=create_job_id(), recipe=recipe)
        self._inbox.put(partial(self._set_draft, job))
        return job.id

    def estimate(self, tool: str, values: Mapping[str, Any]) -> str:
        id = create_job_id()
        self._inbox.put(partial(self._estimate, id, tool, dict(values)))
        return id

    def inspect_data(self, tool: str, values: Mapping[str, Any]) -> str:
        id = create_job_id()
        self._inbox.put(partial(self._inspect_data, id, tool, dict(values)))
        return id

    def cancel_inspection(self, id: str) -> None:
        self._inbox.put(lambda: self._lanes[Lane.INTERACTIVE].send(messages.CancelInspection(id)))

    def jobs(self) -> list[Job]:
        return self._queue.all()

    def running(self) -> Sequence[Job]:
        return [job for job in self._queue.waiting() if job.state is JobState.RUNNING]

    def cancel(self, *jobs: str) -> None:
        self._inbox.put(partial(self._cancel, jobs))

    def cancel_all(self) -> None:
        self._inbox.put(self._cancel_all)

    def pause(self, job: str) -> None:
        self._inbox.put(partial(self._pause, job))

    def resume(self, job: str) -> None:
        known_job = self._queue.get(job)
        if known_job:
            self._inbox.put(partial(self._requeue, [known_job]))

    def requeue(self, *jobs: Job) -> None:
        self._inbox.put(partial(self._requeue, jobs))

    def forget(self, *jobs: str) -> None:
        self._inbox.put(partial(self._forget, jobs))

    def move(self, job: str, before: str | None) -> None:
        self._inbox.put(partial(self._move, job, before))

    def set_queue_paused(self, on: bool) -> None:
        self._queue.paused = on
        self._inbox.put(lambda: None)

    def free_memory(self) -> None:
        self._inbox.put(self._free_memory)

    def training_record(self, job: str) -> TrainingRecord:
        return self._host.training_record(job)

    def reload_plugins(self) -> None:
        self._inbox.put(self._reload)

    # On the engine's thread
    def _run(self) -> None:
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
                    lane.enforce_deadline(time.monotonic())
                    lane.start_next()
            except Exception:
                logger.exception("The engine failed at %s", call)
            if self._closing and not any(lane.has_worker for lane in self._lanes.values()):
                return

    def _close(self, at_once: bool) -> None:
        self._closing = True
        for lane in self._lanes.values():
            lane.close(at_once=at_once)

    def _tidy(self) -> None:
        """Remove stale checkpoints, and tell the artist about a damaged queue."""
        if self._queue.notice:
            self._host.warn("", self._queue.notice)
        self._host.remove_stale_checkpoints()

    def _configure(self, settings: Settings) -> None:
        old, self._host.settings = self._host.settings, settings
        if (old.device, old.disabled_plugins) != (settings.device, settings.disabled_plugins):
            for lane in self._lanes.values():
                lane.replace_worker()

    def _announce(self, jobs: Sequence[Job]) -> None:
        """Tell the listeners about submitted jobs. They do not wait for a draft."""
        if any(job.lane is Lane.INTERACTIVE for job in jobs):
            self._drop_draft()
        for job in jobs:
            self._host.emit(JobChanged(self._host.current(job)))

    def _set_draft(self, job: Job) -> None:
        self._drop_draft()
        self._host.draft = job

    def _drop_draft(self) -> None:
        if self._host.draft:
            self._host.emit(JobForgotten(self._host.draft.id))
            self._host.draft = None
        self._lanes[Lane.INTERACTIVE].cancel_draft()

    def _estimate(self, id: str, tool: str, values: Mapping[str, Any]) -> None:
        """Pass a request on to the worker. Values that are still being typed may be wrong, which is no error."""
        lane, descriptor = self._lanes[Lane.INTERACTIVE], self._host.catalogue.tools.get(tool)
        if lane.is_ready and descriptor:
            try:
                paths = recipe_builder.resolve_paths(descriptor, values, self._library)
                lane.send(messages.EstimateRequest(id, tool, paths))
            except (StudioError, OSError, ValueError):
                self._host.emit(EstimateReady(id))

    def _inspect_data(self, id: str, tool: str, values: Mapping[str, Any]) -> None:
        lane, descriptor = self._lanes[Lane.INTERACTIVE], self._host.catalogue.tools.get(tool)
        try:
            if not lane.is_ready or descriptor is None:
                raise StudioError("The worker is still starting.", "Try again in a moment.")
            paths = recipe_builder.resolve_paths(descriptor, values, self._library)
            lane.send(messages.InspectRequest(id, tool, paths))
        except (StudioError, OSError, ValueError) as error:
            self._host.emit(messages.InspectionResult(id=id, sentence=str(error)))

    def _cancel(self, jobs: Sequence[str]) -> None:
        """Cancel jobs. No other can start meanwhile, since lanes start jobs on this thread."""
        ids = set(jobs)
        if self._host.draft and self._host.draft.id in ids:
            self._drop_draft()
        for lane in self._lanes.values():
            if lane.running and (running := lane.running.job.id) in ids:
                ids.discard(running)
                if not lane.running.is_draft:
                    self._try(running, partial(self._queue.mark_cancelled, running))
                lane.cancel()
        known_jobs = [self._queue.get(id) for id in jobs if id in ids]
        self._change(*(replace(job, state=JobState.CANCELLED) for job in known_jobs if job and not job.state.ended))

    def _cancel_all(self) -> None:
        self._cancel([job.id for job in self._queue.waiting() if job.state is not JobState.PAUSED])

    def _pause(self, job: str) -> None:
        known_job = self._queue.get(job)
        if known_job is None:
            return
        if known_job.state is JobState.QUEUED:
            self._change(replace(known_job, state=JobState.PAUSED))
        elif known_job.state is JobState.RUNNING:
            tool = self._host.catalogue.tools.get(known_job.recipe.tool)
            if tool and tool.pausable:
                self._lanes[known_job.lane].send(messages.Pause(job))
            else:
                title = self._host.tool_title(known_job.recipe.tool)
                self._host.emit(messages.JobNotice(job, f"{title} cannot be paused."))

    def _requeue(self, jobs: Sequence[Job]) -> None:
        def requeue() -> None:
            latest = [self._queue.get(job.id) or replace(job, state=JobState.CANCELLED) for job in jobs]
            stopped = [job for job in latest if job.state.ended or job.state is JobState.PAUSED]
            for job in self._queue.requeue(*stopped):
                self._host.emit(JobChanged(job))

        self._try("", requeue)

    def _forget(self, jobs: Sequence[str]) -> None:
        def forget() -> None:
            for job in self._queue.forget(*jobs):
                self._host.remove_checkpoints(job)
                self._host.emit(JobForgotten(job))

        self._try("", forget)

    def _move(self, job: str, before: str | None) -> None:
        def move() -> None:
            for moved in self._queue.move(job, before):
                self._host.emit(JobChanged(moved))

        self._try(job, move)

    def _change(self, *jobs: Job) -> None:
        dropped = self._host.store_all(*jobs)
        for job in jobs:
            self._host.emit(JobChanged(job))
        for id in dropped:
            self._host.emit(JobForgotten(id))

    def _try(self, job: str, call: Callable[[], None]) -> None:
        try:
            call()
        except StudioError as error:
            self._host.warn(job, str(error))

    def _free_memory(self) -> None:
        for lane in self._lanes.values():
            lane.send(messages.FreeMemory())
        self._lanes[Lane.TRAINING].end_if_idle()

    def _reload(self) -> None:
        self._host.note_fingerprint(*self._lanes)
        for lane in self._lanes.values():
            lane.reload()

    def _lane_of(self, recipe: Recipe) -> Lane:
        tool = self._host.catalogue.tools.get(recipe.tool)
        return Lane(tool.lane) if tool else Lane.INTERACTIVE

    def _release(self) -> None:
        if self._lock:
            self._lock.release()


def _create_temporary_folder(home: Home) -> Path:
    """Create a folder for checkpoints, on the disk of the home, which has space for models, unless it is read-only.

    The next worker removes it after a kill, since its name begins with the id of this process.
    """
    scratch = home.root / "scratch"
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-jobs-", dir=scratch))
    except OSError:
        return Path(tempfile.mkdtemp(prefix="studio-jobs-"))
