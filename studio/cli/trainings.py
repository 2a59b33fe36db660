"""`trainings`: look at trainings of this home, and change them while they run."""

from __future__ import annotations

import argparse
from typing import Any

from msgspec.structs import replace

from studio.cli.app_context import home_of
from studio.cli.console import Console
from studio.core.errors import BadInput
from studio.engine.trainings import Training, list_trainings

MAX_STEPS = 1_000_000


def trainings(options: argparse.Namespace, console: Console) -> int:
    found = list_trainings(home_of(options))
    for training in found:
        console.emit(_describe(training))
    rows = [
        (training.id, training.state, str(_last_step(training)), training.recipe.tool, training.title)
        for training in found
    ]
    if rows:
        console.print_table([("Training", "State", "Step", "Tool", "Name"), *rows])
    elif not console.json:
        console.print_note("There are no trainings.")
    return 0


def show(options: argparse.Namespace, console: Console) -> int:
    training = _find(options)
    points = training.record.read_measures()
    latest = {name: value for point in points for name, value in point.values.items()}
    previews = [
        {"step": entry.step, "label": entry.label, "path": str(path) if path else "", "text": entry.text}
        for entry in training.record.read_previews()
        for path in [training.record.preview_path(entry) if entry.file else None]
    ]
    seconds = points[-1].seconds if points else 0.0
    console.emit({**_describe(training), "seconds": seconds, "measures": latest, "previews": previews})
    rows = [("name", training.title), ("state", training.state), ("step", f"{_last_step(training):,}")]
    rows += [(name, f"{value:.4g}") for name, value in latest.items()]
    rows += [(f"preview {preview['step']:,}", str(preview["path"] or preview["text"])) for preview in previews]
    console.print_table(rows)
    return 0


def change(options: argparse.Namespace, console: Console) -> int:
    values: dict[str, Any] = {}
    if options.steps is not None:
        if not 1 <= options.steps <= MAX_STEPS:
            raise BadInput(f"--steps must be between 1 and {MAX_STEPS:,}, not {options.steps}.")
        values["steps"] = options.steps
    if options.learning_rate is not None:
        if not 0 < options.learning_rate <= 1:
            raise BadInput(f"--learning-rate must be above 0 and at most 1, not {options.learning_rate:g}.")
        values["learning_rate"] = options.learning_rate
    if not values:
        raise BadInput("Nothing is to be changed.", "Add --steps N or --learning-rate X.")
    _change(_find(options), values, console)
    return 0


def finish(options: argparse.Namespace, console: Console) -> int:
    _change(_find(options), {"finish": True}, console)
    return 0


def _change(training: Training, values: dict[str, Any], console: Console) -> None:
    record = training.record
    record.write_changes(replace(record.read_changes(), **values))
    console.emit({"id": training.id, "state": training.state, "changes": values})
    if not console.json:
        when = "from the next step on" if training.state == "running" else "when it goes on"
        console.print_note(f"{training.title}: this takes effect {when}.")


def _find(options: argparse.Namespace) -> Training:
    """Return the training that an id or its first letters name. Raises BadInput."""
    found = list_trainings(home_of(options))
    matching = [training for training in found if training.id == options.training]
    matching = matching or [training for training in found if training.id.startswith(options.training)]
    if len(matching) == 1 and options.training:
        return matching[0]
    problem = "Several trainings begin with" if matching else "There is no training"
    raise BadInput(f"{problem} {options.training or 'without a name'}.", "Run `studio trainings` for a list.")


def _describe(training: Training) -> dict[str, Any]:
    return {
        "id": training.id,
        "tool": training.recipe.tool,
        "title": training.title,
        "state": training.state,
        "step": _last_step(training),
        "created": training.recipe.created,
        "record": str(training.record.folder),
    }


def _last_step(training: Training) -> int:
    points = training.record.read_measures()
    return points[-1].step if points else 0
