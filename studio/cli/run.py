"""`run` and `again`: one tool, to its end."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.cli.app_context import Place, opened
from studio.cli.console import Console
from studio.cli.estimate import estimate
from studio.cli.model_licences import look, tell_licences
from studio.cli.output_path import Destination
from studio.cli.reproducibility import before, between
from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor
from studio.core.digests import sha256
from studio.core.errors import BadInput, FailureKind, StudioError
from studio.core.job import Job, JobState
from studio.core.messages import JobNotice, JobProgress, PreviewFrame
from studio.core.notices import NoticeLevel
from studio.core.recipe import Recipe
from studio.engine.interface import Created, EngineEvent, JobChanged, WorkerChanged, WorkerState
from studio.engine.recipe_builder import SEEDS, build_recipe, restore_values

MOST = 10_000
MOST_STEPS = 1_000_000
"""What counts up to more are bytes, which the text tells."""


def run(options: argparse.Namespace, console: Console) -> int:
    if not 1 <= options.count <= MOST:
        raise BadInput(f"--count must be between 1 and {MOST}, not {options.count}.")
    with opened(options) as place:
        tool = place.tool(options.tool)
        look(place, console)
        if options.estimate:
            return estimate(tool, values_of(tool, options.set), place, console)
        destination = Destination.of(options.out, tool, place.library)
        seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
        recipe = build_recipe(tool, values_of(tool, options.set), seed, place.library)
        tell_licences(tool, recipe, place, console)
        return _Run(place, console, destination).carry_out(recipe, tool, options.count)


def again(options: argparse.Namespace, console: Console) -> int:
    from studio.cli.queries import recipe_in

    with opened(options) as place:
        old = recipe_in(options.file, place)
        tool = place.tool(old.tool)
        look(place, console)
        destination = Destination.of(options.out, tool, place.library)
        new = build_recipe(tool, restore_values(old, place.library), old.seed, place.library)
        tell_licences(tool, new, place, console)
        for difference in before(old, tool, place):
            console.note(difference, NoticeLevel.WARNING)
        return _Run(place, console, destination, old).carry_out(new, tool, 1)


def values_of(tool: ToolDescriptor, assignments: Sequence[str]) -> dict[str, Any]:
    """From `--set NAME=VALUE`, as often as it was given. Raises BadInput without a `=`."""
    given: dict[str, list[str]] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise BadInput(f"--set {assignment} has no value.", "Write --set NAME=VALUE.")
        given.setdefault(name.strip(), []).append(value)
    many = {field.name for field in params_schema.read_fields(tool.schema) if field.many}
    return {name: values if name in many or len(values) > 1 else values[0] for name, values in given.items()}


class _Run:
    """Follows the events of some jobs until all have ended."""

    def __init__(self, place: Place, console: Console, destination: Destination, old: Recipe | None = None) -> None:
        self._place = place
        self._console = console
        self._destination = destination
        self._old = old
        self._jobs: dict[str, Job] = {}
        self._saved = 0

    def carry_out(self, recipe: Recipe, tool: ToolDescriptor, count: int) -> int:
        engine = self._place.engine
        self._console.bar(None, f"{tool.title}: starting")
        engine.start(ahead=False)
        self._jobs = {job.id: job for job in engine.submit(recipe, count=count, format=self._destination.format)}
        asked_to_end = False
        while not all(job.state.ended for job in self._jobs.values()):
            try:
                self._take(self._place.events.get(), tool)
            except KeyboardInterrupt:
                if asked_to_end:
                    raise
                asked_to_end = True
                self._console.note("Cancelling. Ctrl+C once more ends it at once.")
                engine.cancel_all()
        self._deliver(self._destination.finish())
        self._console.end_bar()
        return self._status()

    def _take(self, event: EngineEvent, tool: ToolDescriptor) -> None:
        match event:
            case JobProgress():
                self._progress(event, tool)
            case PreviewFrame(width=width, height=height, text=text, label=label):
                self._console.event("preview", job=event.job, width=width, height=height, label=label, text=text)
                if text and not label:
                    self._console.stream(text)
            case JobNotice(text=text, level=level):
                self._console.note(text, level)
            case Created(creation=creation):
                self._deliver(self._destination.take(creation, len(self._jobs) > 1))
                if self._old and creation.recipe:
                    for difference in between(self._old, creation.recipe):
                        self._console.note(difference, NoticeLevel.WARNING)
                    self._old = None
            case JobChanged(job=job) if job.id in self._jobs:
                self._changed(job)
            case WorkerChanged(state=WorkerState.GONE, sentence=sentence) if sentence:
                raise StudioError(sentence, "See `studio doctor`.")

    def _progress(self, event: JobProgress, tool: ToolDescriptor) -> None:
        self._console.event(
            "progress", job=event.job, step=event.step, total=event.total, text=event.text,
            seconds_left=event.seconds_left if event.seconds_left >= 0 else None,
        )  # fmt: skip
        number = list(self._jobs).index(event.job) + 1 if event.job in self._jobs else 1
        parts = [tool.title if len(self._jobs) == 1 else f"{tool.title} {number} of {len(self._jobs)}"]
        if 0 < event.total <= MOST_STEPS:
            parts.append(f"{event.step:g} of {event.total:g}")
        if event.text:
            parts.append(event.text)
        if event.seconds_left >= 1:
            parts.append(f"{event.seconds_left:.0f} s left")
        self._console.bar(event.step / event.total if event.total else None, " · ".join(parts))

    def _changed(self, job: Job) -> None:
        ended_before = self._jobs[job.id].state.ended
        self._jobs[job.id] = job
        if job.state.ended and not ended_before and job.failure:
            more = {"details": job.failure.details} if self._console.json and job.failure.details else {}
            self._console.failed(job.failure.kind, job.failure.sentence, job=job.id, seed=job.recipe.seed, **more)

    def _deliver(self, results: Sequence[tuple[Any, Path]]) -> None:
        for creation, path in results:
            self._saved += 1
            original = path == Path(creation.path)
            digest = creation.id if original or not path.is_file() else sha256(path)
            seed = creation.recipe.seed if creation.recipe else 0
            self._console.event(
                "saved", path=str(path), kind=creation.kind.value, seed=seed, sha256=digest, creation=creation.id
            )
            self._console.say(str(path))

    def _status(self) -> int:
        states = {job.state for job in self._jobs.values()}
        failures = [job.failure for job in self._jobs.values() if job.failure]
        if failures:
            return (
                2
                if all(failure.kind in (FailureKind.BAD_INPUT, FailureKind.CANNOT_WRITE) for failure in failures)
                else 1
            )
        if JobState.CANCELLED in states:
            self._console.event("cancelled", saved=self._saved)
            if not self._console.json:
                self._console.note("Cancelled.")
            return 130
        self._console.event("done", saved=self._saved)
        return 0
