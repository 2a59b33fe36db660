"""`run` and `again`: run a tool and follow its jobs."""

from __future__ import annotations

import argparse
import secrets
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from studio.cli import foreign_recipe
from studio.cli.app_context import AppContext, home_of, open_app
from studio.cli.console import Console, to_printable
from studio.cli.estimate import print_estimate
from studio.cli.model_licences import scan_model_folders, show_licences
from studio.cli.output_path import Destination
from studio.cli.reproducibility import compare_after_run, compare_before_run
from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor
from studio.core.digests import sha256
from studio.core.errors import BadInput, FailureKind, StudioError
from studio.core.humanize import format_seconds
from studio.core.job import Job, JobState, Lane
from studio.core.messages import ImageCaptioned, JobNotice, JobProgress, PreviewFrame
from studio.core.notices import NoticeLevel
from studio.core.recipe import SEEDS, Recipe
from studio.engine import resumable
from studio.engine.foreign_values import TEXT_TO_IMAGE
from studio.engine.interface import Created, EngineEvent, JobChanged, WorkerChanged, WorkerState
from studio.engine.recipe_builder import build_recipe, restore_values
from studio.engine.recipe_consent import describe_uses, find_outside_uses
from studio.library.storage import recipe_embedding

MAX_COUNT = 10_000
MAX_SHOWN_STEPS = 1_000_000
"""Maximum total that the progress bar shows as steps. Larger totals are bytes, which the text shows."""


def run(options: argparse.Namespace, console: Console) -> int:
    if options.list_resumable:
        return _list_resumable(options, console)
    if options.tool is None:
        raise BadInput("The following arguments are required: TOOL.", "See `studio run --help`.")
    if not 1 <= options.count <= MAX_COUNT:
        raise BadInput(f"--count must be between 1 and {MAX_COUNT}, not {options.count}.")
    with open_app(options, console) as app:
        tool = app.find_tool(options.tool)
        scan_model_folders(app, console)
        if options.estimate:
            return print_estimate(tool, parse_assignments(tool, options.set), options.seed, app, console)
        destination = Destination.of(options.out, tool, app.library)
        seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
        recipe = build_recipe(tool, parse_assignments(tool, options.set), seed, app.library)
        show_licences(tool, recipe, app, console)
        return _JobFollower(app, console, destination).run_jobs(recipe, tool, options)


def again(options: argparse.Namespace, console: Console) -> int:
    from studio.cli.queries import resolve_file

    with open_app(options, console) as app:
        path = resolve_file(options.file, app)
        old = recipe_embedding.read_recipe(path)
        tool = app.find_tool(old.tool if old else TEXT_TO_IMAGE)
        scan_model_folders(app, console)
        given = parse_assignments(tool, options.set)
        if old:
            values, seed = restore_values(tool, old, app.library), old.seed
            if not options.allow_path and (uses := find_outside_uses(tool, values, app.home)):
                raise BadInput(describe_uses(uses), "Add --allow-path to use it.")
        else:
            values, seed = foreign_recipe.read_values(path, tool, given, app, console)
        destination = Destination.of(options.out, tool, app.library)
        new = build_recipe(tool, values | given, seed, app.library)
        show_licences(tool, new, app, console)
        if old is None or given:
            return _JobFollower(app, console, destination).run_jobs(new, tool, options)
        for difference in compare_before_run(old, new, tool, app):
            console.print_note(difference, NoticeLevel.WARNING)
        return _JobFollower(app, console, destination, old).run_jobs(new, tool, options)


def parse_assignments(tool: ToolDescriptor, assignments: Sequence[str]) -> dict[str, Any]:
    """Parse `--set NAME=VALUE` options to values by name. Raises BadInput without a `=`."""
    given: dict[str, list[str]] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise BadInput(f"--set {assignment} has no value.", "Write --set NAME=VALUE.")
        given.setdefault(name.strip(), []).append(value)
    many = {field.name for field in params_schema.read_fields(tool.schema) if field.many}
    return {name: values if name in many or len(values) > 1 else values[0] for name, values in given.items()}


def _list_resumable(options: argparse.Namespace, console: Console) -> int:
    with open_app(options, console) as app:
        runs = list(resumable.list_runs(app.home))
    for folder, stored in runs:
        command = shlex.join(stored.command)
        console.emit({"tool": stored.recipe.tool, "command": command, "done": len(stored.done), "count": stored.count,
                      "created": stored.recipe.created, "folder": str(folder)})  # fmt: skip
        console.print_line(command)
    if not runs and not console.json:
        console.print_note("No run was interrupted.")
    return 0


def _build_command(options: argparse.Namespace) -> list[str]:
    """Return the command that resumes this run."""
    words = ["studio"]
    words += ["--home", str(home_of(options).root)] if options.home else []
    words += ["--device", options.device] if options.device else []
    if "file" in options:
        words += ["again", options.file, *(["--allow-path"] if options.allow_path else [])]
    else:
        words += ["run", options.tool]
        words += ["--seed", str(options.seed)] if options.seed is not None else []
        words += ["--count", str(options.count)] if options.count != 1 else []
    words += [word for value in options.set for word in ("--set", value)]
    words += ["--out", options.out] if options.out else []
    return [*words, "--resume"]


class _JobFollower:
    """Submits jobs and prints their events until all have ended."""

    def __init__(self, app: AppContext, console: Console, destination: Destination, old: Recipe | None = None) -> None:
        self._app = app
        self._console = console
        self._destination = destination
        self._old = old
        self._jobs: dict[str, Job] = {}
        self._run: resumable.ResumableRun | None = None
        self._several = False
        self._saved = 0

    def run_jobs(self, recipe: Recipe, tool: ToolDescriptor, options: argparse.Namespace) -> int:
        """Run the jobs of a recipe. Return the exit status.

        The first Ctrl+C pauses, or cancels what cannot be paused; the second one raises.
        """
        self._several = getattr(options, "count", 1) > 1
        self._run = self._find_run(recipe, tool, options)
        try:
            return self._follow(recipe, tool, options)
        finally:
            if self._run and self._run.end():
                command = shlex.join(self._run.command)
                self._console.emit_event("resumable", command=command)
                if not self._console.json:
                    self._console.print_note(f"Go on with: {command}")

    def _find_run(
        self, recipe: Recipe, tool: ToolDescriptor, options: argparse.Namespace
    ) -> resumable.ResumableRun | None:
        """Return the interrupted run that these options resume, or a new one."""
        home, count = self._app.home, getattr(options, "count", 1)
        is_training = tool.lane == Lane.TRAINING.value
        if options.resume or (is_training and not options.fresh):
            any_seed = getattr(options, "seed", 0) is None
            if found := resumable.find(home, recipe, count, any_seed=any_seed):
                hint = "" if options.resume else " Use --fresh to begin anew."
                self._console.print_note(f"{tool.title}: the interrupted run is resumed.{hint}")
                return found
            if options.resume:
                self._console.print_note("There is no interrupted run of this command, so it begins anew.")
        run = resumable.begin(home, recipe, count, _build_command(options))
        if run is None:
            note = "The same command already runs in another process. This run cannot be resumed after a kill."
            self._console.print_note(note, NoticeLevel.WARNING)
        return run

    def _submit(self, recipe: Recipe, count: int) -> list[Job]:
        submit = partial(self._app.engine.submit, format=self._destination.format)
        if self._run is None:
            return submit(recipe, count=count)
        folder = self._run.folder
        return [job for one in self._run.remaining() for job in submit(one, checkpoints=folder)]

    def _follow(self, recipe: Recipe, tool: ToolDescriptor, options: argparse.Namespace) -> int:
        engine = self._app.engine
        self._console.show_bar(None, f"{tool.title}: starting")
        engine.start(ahead=False)
        self._jobs = {job.id: job for job in self._submit(recipe, getattr(options, "count", 1))}
        is_cancelling = False
        while not all(map(_has_stopped, self._jobs.values())):
            try:
                self._handle_event(self._app.events.get(), tool)
            except KeyboardInterrupt:
                if is_cancelling:
                    raise
                is_cancelling = True
                self._console.print_note(
                    f"{'Pausing' if tool.pausable else 'Cancelling'}. Press Ctrl+C again to stop at once."
                )
                self._stop(tool)
        self._report_results(self._destination.finish())
        self._console.clear_bar()
        return self._exit_status()

    def _stop(self, tool: ToolDescriptor) -> None:
        """Pause the running job, or cancel it if its tool cannot pause; cancel those that wait."""
        for job in self._jobs.values():
            if tool.pausable and job.state is JobState.RUNNING:
                self._app.engine.pause(job.id)
            else:
                self._app.engine.cancel(job.id)

    def _handle_event(self, event: EngineEvent, tool: ToolDescriptor) -> None:
        match event:
            case JobProgress():
                self._show_progress(event, tool)
            case PreviewFrame(width=width, height=height, text=text, label=label):
                self._console.emit_event("preview", job=event.job, width=width, height=height, label=label, text=text)
                if text and not label:
                    self._console.stream_text(text)
            case ImageCaptioned(path=path, text=text):
                self._console.emit_event("captioned", job=event.job, path=path, text=text)
                self._console.print_line(to_printable(f"{path}: {text}"))
            case JobNotice(text=text, level=level):
                self._console.print_note(text, level)
            case Created(creation=creation):
                self._report_results(self._destination.add(creation, self._several))
                if self._old and creation.recipe:
                    for difference in compare_after_run(self._old, creation.recipe):
                        self._console.print_note(difference, NoticeLevel.WARNING)
                    self._old = None
            case JobChanged(job=job) if job.id in self._jobs:
                self._on_job_changed(job)
            case WorkerChanged(state=WorkerState.GONE, sentence=sentence) if sentence:
                raise StudioError(sentence, "Run `studio doctor` to find the cause.")

    def _show_progress(self, event: JobProgress, tool: ToolDescriptor) -> None:
        self._console.emit_event(
            "progress", job=event.job, step=event.step, total=event.total, text=event.text,
            seconds_left=event.seconds_left if event.seconds_left >= 0 else None,
        )  # fmt: skip
        number = list(self._jobs).index(event.job) + 1 if event.job in self._jobs else 1
        parts = [tool.title if len(self._jobs) == 1 else f"{tool.title} {number} of {len(self._jobs)}"]
        if 0 < event.total <= MAX_SHOWN_STEPS:
            parts.append(f"{event.step:g} of {event.total:g}")
        if event.text:
            parts.append(event.text)
        if event.seconds_left >= 1:
            parts.append(f"{format_seconds(event.seconds_left)} left")
        self._console.show_bar(event.step / event.total if event.total else None, " · ".join(parts))

    def _on_job_changed(self, job: Job) -> None:
        stopped_before = _has_stopped(self._jobs[job.id])
        self._jobs[job.id] = job
        if self._run and job.state is JobState.DONE and not stopped_before:
            self._run.note_done(job)
        if _has_stopped(job) and not stopped_before and job.failure:
            more = {"details": job.failure.details} if self._console.json and job.failure.details else {}
            self._console.report_failure(
                job.failure.kind, job.failure.sentence, job=job.id, seed=job.recipe.seed, **more
            )

    def _report_results(self, results: Sequence[tuple[Any, Path]]) -> None:
        for creation, path in results:
            self._saved += 1
            original = path == Path(creation.path)
            digest = creation.id if original or not path.is_file() else sha256(path)
            seed = creation.recipe.seed if creation.recipe else 0
            more = {"notes": creation.recipe.notes} if creation.recipe and creation.recipe.notes else {}
            self._console.emit_event(
                "saved",
                path=str(path),
                kind=creation.kind.value,
                seed=seed,
                sha256=digest,
                creation=creation.id,
                **more,
            )
            self._console.print_line(str(path))

    def _exit_status(self) -> int:
        states = {job.state for job in self._jobs.values()}
        failures = [job.failure for job in self._jobs.values() if job.failure]
        if failures:
            return (
                2
                if all(failure.kind in (FailureKind.BAD_INPUT, FailureKind.CANNOT_WRITE) for failure in failures)
                else 1
            )
        if JobState.PAUSED in states:
            self._console.emit_event("paused", saved=self._saved)
            if not self._console.json:
                self._console.print_note("Paused.")
            return 130
        if JobState.CANCELLED in states:
            self._console.emit_event("cancelled", saved=self._saved)
            if not self._console.json:
                self._console.print_note("Cancelled.")
            return 130
        self._console.emit_event("done", saved=self._saved)
        return 0


def _has_stopped(job: Job) -> bool:
    return job.state.ended or job.state is JobState.PAUSED
