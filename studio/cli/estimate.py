"""`run --estimate`: what a job would take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from studio.cli.app_context import Place
from studio.cli.console import Console
from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor
from studio.core.errors import StudioError
from studio.core.humanize import format_memory, format_seconds
from studio.engine.interface import EstimateReady, WorkerChanged, WorkerState


def estimate(tool: ToolDescriptor, values: Mapping[str, Any], place: Place, console: Console) -> int:
    """Prints it and returns 0. Raises BadInput for values that do not fit."""
    params_schema.check_values(tool, values)
    place.wait_until_ready()
    found = _answer(place, place.engine.estimate(tool.id, values))
    budget = {"budget": msgspec.to_builtins(found.budget)} if found.budget else {}
    console.event("estimate", seconds=found.seconds, memory=found.memory or None, notes=found.notes, **budget)
    rows = []
    if found.seconds is not None:
        rows.append(("time", f"about {format_seconds(found.seconds)}"))
    if found.memory:
        rows.append(("memory", format_memory(found.memory)))
    rows += [(name, note) for name, note in found.notes.items()]
    if found.budget:
        rows.append(("reads", found.budget.sentence))
    if rows:
        console.table(rows)
    if not console.json and found.seconds is None:
        console.note(
            "How long it takes is learnt from the first job like it."
            if rows
            else f"{tool.title} tells nothing in advance."
        )
    return 0


def _answer(place: Place, id: str) -> EstimateReady:
    while True:
        match place.events.get():
            case EstimateReady() as found if found.id == id:
                return found
            case WorkerChanged(state=WorkerState.RESTARTING | WorkerState.GONE, sentence=sentence):
                raise StudioError(sentence or "The worker ended.", "See `studio doctor`.")
