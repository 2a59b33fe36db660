"""A tool's run: its generator, its events and its cancel points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from studio import api
from studio.core.errors import StudioError

_EVENTS = get_args(api.Event)


def run_tool(tool: api.Tool, params: api.Params, ctx: api.Context) -> None:
    """Run a tool to its end, and pass each event to `ctx.emit`.

    An exception of `emit`, such as Cancelled, is raised inside the tool at its `yield`, so that
    its `finally` and `except` blocks run.
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
        _emit_all(tool, iterator, ctx)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


def _emit_all(tool: api.Tool, events: Iterator[Any], ctx: api.Context) -> None:
    throw = getattr(events, "throw", None)
    event: Any = next(events, events)
    while event is not events:
        try:
            if not isinstance(event, _EVENTS):
                raise StudioError(
                    f"{tool.title} yielded {_describe(event)}, which is no event.", "Its author must fix it."
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


def _describe(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"a value of type {type(value).__name__}"
