"""The GPU thread: imports plugins and runs jobs, one at a time."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import psutil

from studio import api
from studio.core import params_schema, settings
from studio.core.errors import BadInput, Failure, FailureKind, did_you_mean, is_out_of_memory
from studio.core.messages import (
    FromWorker,
    JobCancelled,
    JobFailed,
    JobFinished,
    JobNotice,
    JobPaused,
    MemoryFreed,
    Ready,
    RunJob,
)
from studio.core.notices import NoticeLevel
from studio.core.paths import Home
from studio.core.recipe import PluginRef
from studio.worker import devices
from studio.worker.devices import Device
from studio.worker.estimates import Estimates
from studio.worker.jobs import seeding
from studio.worker.jobs.context import JobContext, Wishes
from studio.worker.jobs.errors import failure, validated
from studio.worker.jobs.provenance import Provenance
from studio.worker.jobs.tool_runner import run_tool
from studio.worker.models.cache import ModelCache
from studio.worker.models.evicted_state import Parked
from studio.worker.plugins import sources
from studio.worker.plugins.discovery import Plugins, discover
from studio.worker.plugins.import_guard import Suspects
from studio.worker.stdio import Outbox

_log = logging.getLogger(__name__)

DEVICE_LOST = 71
"""Exit status after a fault of the device that only a new process gets over."""


class GpuThread:
    """Everything that may take long happens here, in the order in which it was asked for."""

    def __init__(self, outbox: Outbox, *, home: Home, device: str, suspects: Suspects) -> None:
        self.device: Device | None = None
        """None until torch was asked."""
        self._outbox = outbox
        self._home = home
        self._wanted = device
        self._suspects = suspects
        self._plugins = Plugins()
        self._scratch = home.root / "scratch"
        self._parked = Parked(self._scratch / f"{os.getpid()}-parked")
        self._models = ModelCache(
            lambda: devices.memory(self._chosen()), lambda: devices.give_back(self.device), self._parked
        )
        self.estimates = Estimates(outbox, home)
        self._provenance = Provenance(home.root / "hashes.json")
        self._wishes: dict[str, Wishes] = {}
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="gpu", daemon=True)

    def start(self) -> None:
        self._work.put(self._discover)
        self._work.put(self._warm_up)
        self._thread.start()

    def run(self, run: RunJob) -> None:
        self._wishes[run.job] = wishes = Wishes()
        self._work.put(lambda: self._run(run, wishes))

    def cancel(self, job: str) -> None:
        """Seen at the job's next cancel point. Nothing happens where the job has ended."""
        if (wishes := self._wishes.get(job)) is not None:
            wishes.cancel.set()

    def pause(self, job: str) -> None:
        if (wishes := self._wishes.get(job)) is not None:
            wishes.pause.set()

    def reload(self) -> None:
        self._work.put(self._reload)

    def free_memory(self) -> None:
        self._work.put(self._free_memory)

    def stop(self) -> None:
        """Cancels all jobs, and returns when they have ended; what is only being loaded is not waited for."""
        if self._wishes:
            for wishes in list(self._wishes.values()):
                wishes.cancel.set()
            self._work.put(None)
            self._thread.join()
        else:
            self._suspects.acquit()
        self._parked.forget_all()

    def _serve(self) -> None:
        _remove_stale(self._scratch)
        while (work := self._work.get()) is not None:
            try:
                work()
            except BaseException:  # nothing that a plugin does may end this thread
                _log.exception("unexpected")

    def _discover(self) -> None:
        disabled = settings.load(self._home.settings).disabled_plugins
        self._plugins = discover(sources.find(self._home), disabled=disabled, guarded=self._suspects.guarded)
        self.estimates.tools = self._plugins.tools
        self._outbox.send(Ready(self._plugins.catalogue, devices.report(self.device)))

    def _reload(self) -> None:
        self._plugins.unload()
        self._models.forget()
        self._discover()

    def _warm_up(self) -> None:
        """Imports torch before the first job waits for it."""
        try:
            if self._chosen().kind == "cpu":
                seeding.prefer_deterministic()
        finally:
            self.estimates.ready(self.device)
        self._outbox.send(devices.beat(self.device))

    def _chosen(self) -> Device:
        if self.device is None:
            self.device = devices.choose(self._wanted)
            _log.info("the device is %s (%s)", self.device.name, self.device.title)
        return self.device

    def _free_memory(self) -> None:
        before = devices.held(self.device)
        self._models.clear()
        self._outbox.send(MemoryFreed(max(0, before - devices.held(self.device))))

    def _run(self, run: RunJob, wishes: Wishes) -> None:
        if wishes.cancel.is_set():
            outcome: FromWorker = JobCancelled(run.job)
        else:
            outcome = self._outcome(run, wishes)
        self._outbox.send(outcome)
        del self._wishes[run.job]
        if isinstance(outcome, JobFailed) and self.device is not None and not devices.works(self.device.name):
            _log.error("the device %s is unusable after a fault: a new worker is needed", self.device.name)
            os._exit(DEVICE_LOST)

    def _outcome(self, run: RunJob, wishes: Wishes) -> FromWorker:
        tool = self._plugins.tools.get(run.recipe.tool)
        if tool is None:
            return JobFailed(run.job, self._unknown(run.recipe.tool))
        try:
            with _scratch_folder(self._scratch) as scratch:
                context = self._context(run, tool, wishes, scratch)
                try:
                    return self._attempt(run, tool, context)
                except BaseException as error:
                    if context.cancelled or isinstance(error, api.Cancelled):
                        _log.info("%s was cancelled (%s)", run.job, type(error).__name__)
                        return JobCancelled(run.job)
                    if isinstance(error, api.Paused):
                        return JobPaused(run.job)
                    raise
        except BaseException as error:
            _log.info("%s failed", run.job, exc_info=not isinstance(error, api.StudioError))
            failed = failure(error, tool.title)
            short_of_memory = is_out_of_memory(error)
        # Outside the handler, where the exception no longer holds the frames of the tool.
        if short_of_memory:
            self._models.clear()
        return JobFailed(run.job, failed)

    def _attempt(self, run: RunJob, tool: type[api.Tool], context: JobContext) -> FromWorker:
        params = validated(tool, _with_files(tool, run))
        seeding.seed_all(run.recipe.seed)
        tells = tool.estimate is not api.Tool.estimate and not run.draft and not _goes_on(run)
        estimate = self.estimates.of_job(tool, params) if tells else None
        began = time.monotonic() - self._models.seconds_loading
        run_tool(tool(), params, context)
        if context.cancelled:
            return JobCancelled(run.job)
        seconds = time.monotonic() - self._models.seconds_loading - began
        return JobFinished(run.job, self.estimates.measured(estimate, seconds) if estimate else None)

    def _context(self, run: RunJob, tool: type[api.Tool], wishes: Wishes, scratch: Path) -> JobContext:
        device = self._chosen()
        if device.sentence:
            self._outbox.send(JobNotice(run.job, device.sentence, NoticeLevel.WARNING))
        described = self._plugins.catalogue.tools[tool.id]
        return JobContext(
            run,
            tool=tool,
            plugin=PluginRef(described.plugin, described.plugin_version),
            home=self._home,
            settings=settings.load(self._home.settings),
            device=device,
            models=self._models,
            provenance=self._provenance,
            outbox=self._outbox,
            wishes=wishes,
            scratch=scratch,
        )

    def _unknown(self, tool: str) -> Failure:
        for plugin in self._plugins.catalogue.plugins:
            if plugin.error and plugin.name == tool.partition(".")[0]:
                sentence = f"{tool} is not there, because its plugin failed: {plugin.error}"
                return Failure(FailureKind.FAILED, sentence, plugin.details)
        return Failure(
            FailureKind.BAD_INPUT, f"There is no tool {tool}. {did_you_mean(tool, self._plugins.tools)}".strip()
        )


def _goes_on(run: RunJob) -> bool:
    """Whether part of the job was done before a pause or a kill, so that its time says nothing."""
    checkpoint_dir = Path(run.checkpoint_dir) if run.checkpoint_dir else None
    return checkpoint_dir is not None and checkpoint_dir.is_dir() and any(checkpoint_dir.iterdir())


def _with_files(tool: type[api.Tool], run: RunJob) -> dict[str, Any]:
    """The parameters, with the path of each input in the place of its reference."""
    values = dict(run.recipe.params)
    for field in params_schema.fields(tool.Params.model_json_schema()):
        if field.is_input and field.name in values:
            values[field.name] = _path(values[field.name], run.files, field.title)
    return values


def _path(value: Any, files: dict[str, str], title: str) -> Any:
    if isinstance(value, list | tuple):
        return [_path(one, files, title) for one in value]
    if not isinstance(value, str) or not value.startswith("sha256:"):
        return value
    if value not in files:
        raise BadInput(f"{title}: the file {value[7:17]}… is no longer there.", "Choose it again.")
    return files[value]


@contextmanager
def _scratch_folder(parent: Path) -> Iterator[Path]:
    """In the home, so that a trained model is moved from it to the library and not copied."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _remove_stale(parent: Path) -> None:
    """What workers that were killed have left."""
    for folder in parent.glob("*-*"):
        owner = folder.name.partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
