"""`run --estimate`: what a job would take. For a training a few of its steps are run and measured."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from studio.cli.app_context import AppContext
from studio.cli.console import Console
from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor
from studio.core.errors import FailureKind, StudioError
from studio.core.humanize import format_memory, format_seconds, format_size
from studio.core.job import Job, JobState, Lane
from studio.core.messages import JobProgress
from studio.core.recipe import Recipe
from studio.core.training_record import FOLDER, TrainingChanges, TrainingMeasurement, TrainingRecord
from studio.engine.interface import EstimateReady, JobChanged, WorkerChanged, WorkerState
from studio.engine.recipe_builder import build_recipe


def print_estimate(
    tool: ToolDescriptor, values: Mapping[str, Any], seed: int | None, app: AppContext, console: Console
) -> int:
    """Print the estimated time, memory, space on the disk and token budget, and return the exit status.

    Raises BadInput for invalid values.
    """
    params_schema.check_values(tool, values)
    app.wait_until_ready()
    result = _await_estimate(app, app.engine.estimate(tool.id, values))
    measured: TrainingMeasurement | None = None
    preparation = 0.0
    if _uses_training_kit(tool):
        run = _MeasuringRun(app, console)
        if run.measure(build_recipe(tool, values, seed or 0, app.library)) is None:
            return run.status
        measured, preparation = run.measurement, run.preparation
    seconds = measured.seconds + preparation if measured else result.seconds
    memory = measured.memory if measured else result.memory
    disk = measured.disk if measured else result.disk
    more = {"budget": msgspec.to_builtins(result.budget)} if result.budget else {}
    if disk:
        more["disk"] = disk
    if measured:
        more |= {"seconds_per_step": measured.seconds_per_step, "steps": measured.steps}
    console.emit_event("estimate", seconds=seconds, memory=memory or None, notes=result.notes, **more)
    rows = []
    if seconds is not None:
        rows.append(("time", f"about {format_seconds(seconds)}"))
    if measured:
        rows.append(("measured", _describe_measurement(measured, preparation)))
    if memory:
        rows.append(("memory", format_memory(memory)))
    if disk:
        rows.append(("disk", format_size(disk)))
    rows += [(name, note) for name, note in result.notes.items()]
    if result.budget:
        rows.append(("reads", result.budget.sentence))
    if rows:
        console.print_table(rows)
    if not console.json and seconds is None:
        console.print_note(
            "The time is unknown until a first job of this kind has run."
            if rows
            else f"{tool.title} gives no estimate."
        )
    return 0


def _uses_training_kit(tool: ToolDescriptor) -> bool:
    """Check whether a tool trains with `api.training`, which can measure itself."""
    names = {field.name for field in params_schema.read_fields(tool.schema)}
    return tool.lane == Lane.TRAINING.value and {"steps", "preview_every", "keep_every"} <= names


def _describe_measurement(measured: TrainingMeasurement, preparation: float) -> str:
    parts = [f"{measured.seconds_per_step:.3g} s per step in {measured.measured_steps} of {measured.steps:,} steps"]
    if measured.previews and measured.seconds_per_preview >= 0.1:
        parts.append(f"{measured.previews} previews of {format_seconds(measured.seconds_per_preview)}")
    if preparation >= 1:
        parts.append(f"{format_seconds(preparation)} to prepare")
    return ", ".join(parts)


class _MeasuringRun:
    """A job that trains a few steps with a checkpoint folder of its own, and leaves nothing."""

    def __init__(self, app: AppContext, console: Console) -> None:
        self._app, self._console = app, console
        self.measurement: TrainingMeasurement | None = None
        self.preparation = 0.0
        """Seconds before the first step."""
        self.status = 0
        """Exit status after a failure."""

    def measure(self, recipe: Recipe) -> TrainingMeasurement | None:
        """Run the steps. Return None after a failure, which is printed."""
        scratch = self._app.home.root / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=scratch, ignore_cleanup_errors=True) as folder:
            record = TrainingRecord(Path(folder) / str(recipe.seed) / FOLDER)
            record.write_changes(TrainingChanges(measure=True))
            start = time.monotonic()
            (job,) = self._app.engine.submit(recipe, checkpoints=Path(folder))
            self._follow(job, start)
            self.measurement = record.read_measurement()
        self._console.clear_bar()
        if self.measurement:
            self.preparation = max(0.0, self.preparation - self.measurement.seconds_measuring)
        return self.measurement

    def _follow(self, job: Job, start: float) -> None:
        failure = None
        while not job.state.ended:
            match self._app.events.get():
                case JobProgress(text=text, step=step, total=total):
                    self._console.show_bar(None, text or "Measuring the training")
                    if total and step > 0:  # the tool does not measure itself
                        self._app.engine.cancel(job.id)
                case JobChanged(job=changed) if changed.id == job.id:
                    if changed.state is JobState.RUNNING:
                        start = time.monotonic()
                    elif changed.state is JobState.PAUSED:  # it could go on once something is mended
                        failure = changed.failure
                        self._app.engine.cancel(job.id)
                    job = changed
        self.preparation = time.monotonic() - start
        if failure := job.failure or failure:
            self._console.report_failure(failure.kind, failure.sentence)
            self.status = 2 if failure.kind in (FailureKind.BAD_INPUT, FailureKind.CANNOT_WRITE) else 1


def _await_estimate(app: AppContext, id: str) -> EstimateReady:
    while True:
        match app.events.get():
            case EstimateReady() as result if result.id == id:
                return result
            case WorkerChanged(state=WorkerState.RESTARTING | WorkerState.GONE, sentence=sentence):
                raise StudioError(sentence or "The worker has ended.", "Run `studio doctor` to find the cause.")
