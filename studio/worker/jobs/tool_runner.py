"""Running a tool: the generator, its events, and its cancel points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from studio import api
from studio.core.errors import StudioError

_EVENTS = get_args(api.Event)


def run_tool(tool: api.Tool, params: api.Params, ctx: api.Context) -> None:
    """Runs a tool to its end, each event through `ctx.emit`.

    What `emit` raises, Cancelled among it, is raised inside the tool at its `yield`, so that
    its `finally` and `except` parts see it there.
    """
    events: Any = tool.run(params, ctx)
    if events is None:
        raise StudioError(f"{tool.title} made nothing: its run has no yield.", "Its author must fix it.")
    if not hasattr(events, "__iter__"):
        raise StudioError(
            f"{tool.title} cannot be run: its run returned {type(events).__name__}, and must yield events.",
            "Its author must fix it.",
        )
    iterator: Iterator[Any] = iter(events)
    try:
        _drain(tool, iterator, ctx)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


def _drain(tool: api.Tool, events: Iterator[Any], ctx: api.Context) -> None:
    throw = getattr(events, "throw", None)
    event: Any = next(events, events)
    while event is not events:
        try:
            if not isinstance(event, _EVENTS):
                raise StudioError(
                    f"{tool.title} yielded {_shown(event)}, which is no event.", "Its author must fix it."
                )
            ctx.emit(event)
        except BaseException as error:
            if throw is None:
                raise
            try:
                event = throw(error)
            except StopIteration:
                return
        else:
            event = next(events, events)


def _shown(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"a value of type {type(value).__name__}"
