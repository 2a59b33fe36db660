"""`run --estimate`: what a job would take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from studio.cli.app_context import AppContext
from studio.cli.console import Console
from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor
from studio.core.errors import StudioError
from studio.core.humanize import format_memory, format_seconds
from studio.engine.interface import EstimateReady, WorkerChanged, WorkerState


def print_estimate(tool: ToolDescriptor, values: Mapping[str, Any], app: AppContext, console: Console) -> int:
    """Print the estimated time, memory and token budget, and return 0. Raises BadInput for invalid values."""
    params_schema.check_values(tool, values)
    app.wait_until_ready()
    result = _await_estimate(app, app.engine.estimate(tool.id, values))
    budget = {"budget": msgspec.to_builtins(result.budget)} if result.budget else {}
    console.emit_event("estimate", seconds=result.seconds, memory=result.memory or None, notes=result.notes, **budget)
    rows = []
    if result.seconds is not None:
        rows.append(("time", f"about {format_seconds(result.seconds)}"))
    if result.memory:
        rows.append(("memory", format_memory(result.memory)))
    rows += [(name, note) for name, note in result.notes.items()]
    if result.budget:
        rows.append(("reads", result.budget.sentence))
    if rows:
        console.print_table(rows)
    if not console.json and result.seconds is None:
        console.print_note(
            "The time is unknown until a first job of this kind has run."
            if rows
            else f"{tool.title} gives no estimate."
        )
    return 0


def _await_estimate(app: AppContext, id: str) -> EstimateReady:
    while True:
        match app.events.get():
            case EstimateReady() as result if result.id == id:
                return result
            case WorkerChanged(state=WorkerState.RESTARTING | WorkerState.GONE, sentence=sentence):
                raise StudioError(sentence or "The worker has ended.", "Run `studio doctor` to find the cause.")
