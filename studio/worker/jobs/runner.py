"""Runs jobs: from `RunJob` to the message that says how the job ended."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from studio import api
from studio.core import params_schema, settings
from studio.core.errors import BadInput, CannotWrite, Failure, FailureKind, did_you_mean, is_out_of_memory
from studio.core.files import is_disk_full
from studio.core.messages import (
    JobCancelled,
    JobFailed,
    JobFinished,
    JobNotice,
    JobPaused,
    JobTiming,
    RunJob,
    WorkMeasured,
)
from studio.core.notices import NoticeLevel
from studio.core.paths import Home
from studio.core.recipe import REFERENCE, PluginRef
from studio.worker import process_state
from studio.worker.devices import Device
from studio.worker.estimates import Estimator
from studio.worker.jobs import seeding
from studio.worker.jobs.context import JobContext, JobSignals
from studio.worker.jobs.errors import to_failure, validate_params
from studio.worker.jobs.provenance import Provenance
from studio.worker.jobs.tool_runner import run_tool
from studio.worker.models.cache import ModelCache
from studio.worker.plugins.discovery import LoadedPlugins
from studio.worker.stdio import Outbox

_log = logging.getLogger(__name__)

JobOutcome: TypeAlias = JobFinished | JobFailed | JobCancelled | JobPaused


class JobRunner:
    """Runs one job after the other, on the GPU thread. `scratch` is the parent of the jobs' scratch folders."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        home: Home,
        scratch: Path,
        models: ModelCache,
        estimator: Estimator,
        choose_device: Callable[[], Device],
    ) -> None:
        self.plugins = LoadedPlugins()
        self._outbox = outbox
        self._home = home
        self._scratch = scratch
        self._models = models
        self._estimator = estimator
        self._choose_device = choose_device
        self._provenance = Provenance(home.root / "hashes.json")
        self._told_tools: set[str] = set()

    def run(self, run: RunJob, signals: JobSignals) -> JobOutcome:
        """Run a job to its end. Never raises: whatever a plugin raises becomes an outcome."""
        if signals.cancel.is_set():
            return JobCancelled(run.job)
        tool = self.plugins.tools.get(run.recipe.tool)
        if tool is None:
            return JobFailed(run.job, self._explain_missing_tool(run.recipe.tool))
        before = process_state.read()
        try:
            with _scratch_folder(self._scratch) as scratch:
                return self._run_in(scratch, run, tool, signals)
        except BaseException as error:
            _log.info("%s failed", run.job, exc_info=not isinstance(error, api.StudioError))
            failure = to_failure(error, tool.title, self._home.root)
            out_of_memory = is_out_of_memory(error)
        finally:
            self._restore_process(before, run, tool)
        # Outside the handler, where the exception no longer holds the frames of the tool.
        if out_of_memory:
            self._models.clear()
        return JobFailed(run.job, failure)

    def _restore_process(self, before: Mapping[str, Any], run: RunJob, tool: type[api.Tool]) -> None:
        """Set back what the tool changed for the whole process. The artist is told once for each tool."""
        if not (changed := process_state.restore(before)):
            return
        sentence = process_state.describe(tool.title, changed)
        _log.warning("%s: %s", run.job, sentence)
        if tool.id not in self._told_tools:
            self._told_tools.add(tool.id)
            self._outbox.send(JobNotice(run.job, sentence, NoticeLevel.WARNING))

    def _run_in(self, scratch: Path, run: RunJob, tool: type[api.Tool], signals: JobSignals) -> JobOutcome:
        timing = _WorkTiming(self._estimator, self._outbox, run.job)
        context = self._build_context(run, tool, signals, scratch, timing.report)
        process = os.getpid()
        was_resumed = _is_resumed(run)
        try:
            return self._attempt(run, tool, context, timing)
        except BaseException as error:
            if context.cancelled or isinstance(error, api.Cancelled):
                _log.info("%s was cancelled (%s)", run.job, type(error).__name__)
                return JobCancelled(run.job)
            if isinstance(error, api.Paused):
                return JobPaused(run.job)
            if tool.pausable and _is_resumed(run) and _can_be_mended(error, was_resumed=was_resumed):
                return JobPaused(run.job, to_failure(error, tool.title, self._home.root))
            raise
        finally:
            if os.getpid() != process:  # a copy of the worker that the tool forked must not go on as a second one
                os._exit(0)

    def _attempt(self, run: RunJob, tool: type[api.Tool], context: JobContext, timing: _WorkTiming) -> JobOutcome:
        params = validate_params(tool, _resolve_inputs(tool, run))
        seeding.seed_all(run.recipe.seed)
        is_resumed = _is_resumed(run)
        if tool.estimate is not api.Tool.estimate and not run.draft:
            timing.begin(tool, params)
        start = time.monotonic() - self._models.seconds_loading
        run_tool(tool(), params, context)
        if context.cancelled:
            return JobCancelled(run.job)
        seconds = time.monotonic() - self._models.seconds_loading - start
        return JobFinished(run.job, None if is_resumed else timing.of_job(seconds))

    def _build_context(
        self,
        run: RunJob,
        tool: type[api.Tool],
        signals: JobSignals,
        scratch: Path,
        report_work: Callable[[api.WorkDone], None],
    ) -> JobContext:
        device = self._choose_device()
        if device.warning:
            self._outbox.send(JobNotice(run.job, device.warning, NoticeLevel.WARNING))
        descriptor = self.plugins.catalogue.tools[tool.id]
        return JobContext(
            run,
            tool=tool,
            plugin=PluginRef(descriptor.plugin, descriptor.plugin_version),
            home=self._home,
            settings=settings.load(self._home.settings),
            device=device,
            models=self._models,
            provenance=self._provenance,
            outbox=self._outbox,
            signals=signals,
            scratch=scratch,
            report_work=report_work,
        )

    def _explain_missing_tool(self, tool: str) -> Failure:
        for plugin in self.plugins.catalogue.plugins:
            if plugin.error and plugin.name == tool.partition(".")[0]:
                sentence = f"{tool} is not available, because its plugin failed: {plugin.error}"
                return Failure(FailureKind.FAILED, sentence, plugin.details)
        hint = did_you_mean(tool, self.plugins.tools)
        return Failure(FailureKind.BAD_INPUT, f"There is no tool {tool}. {hint}".strip())


class _WorkTiming:
    """The time that the work of one job takes, as a whole or in the parts that its tool reports."""

    def __init__(self, estimator: Estimator, outbox: Outbox, job: str) -> None:
        self._estimator, self._outbox, self._job = estimator, outbox, job
        self._estimate: Future[api.Estimate | None] | None = None
        self._has_reports = False

    def begin(self, tool: type[api.Tool], params: api.Params) -> None:
        """Estimate the job."""
        self._estimate = self._estimator.estimate_job(tool, params)

    def report(self, done: api.WorkDone) -> None:
        """Send the time of a part of the job."""
        self._has_reports = True
        if self._estimate and (timing := self._estimator.job_timing(self._estimate, done.seconds, done.fraction)):
            self._outbox.send(WorkMeasured(self._job, timing))

    def of_job(self, seconds: float) -> JobTiming | None:
        """Return the time of the whole job; None where it is not estimated or was reported in parts."""
        if self._estimate is None or self._has_reports:
            return None
        return self._estimator.job_timing(self._estimate, seconds)


def _is_resumed(run: RunJob) -> bool:
    """Check whether part of the job was done before a pause or a kill, so that its time says nothing."""
    folder = Path(run.checkpoint_dir) if run.checkpoint_dir else None
    return folder is not None and folder.is_dir() and any(folder.iterdir())


def _can_be_mended(error: BaseException, *, was_resumed: bool) -> bool:
    """Check for what keeps a job with a checkpoint from going on for now: a full disk, or an input that is gone."""
    return is_disk_full(error) or isinstance(error, CannotWrite) or (was_resumed and isinstance(error, BadInput))


def _resolve_inputs(tool: type[api.Tool], run: RunJob) -> dict[str, Any]:
    """Return the parameters with a path in the place of each reference to an input file."""
    values = dict(run.recipe.params)
    for field in params_schema.read_fields(tool.Params.model_json_schema()):
        if field.is_input and field.name in values:
            values[field.name] = _resolve(values[field.name], run.files, field.title)
    return values


def _resolve(value: object, files: Mapping[str, str], title: str) -> object:
    if isinstance(value, list | tuple):
        return [_resolve(item, files, title) for item in value]
    if not isinstance(value, str) or not value.startswith(REFERENCE):
        return value
    if value not in files:
        raise BadInput(f"{title}: the file {value[7:17]}… no longer exists.", "Choose it again.")
    return files[value]


@contextmanager
def _scratch_folder(parent: Path) -> Iterator[Path]:
    """Create a folder in the home, from which a trained model can be moved to the library without copying."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
