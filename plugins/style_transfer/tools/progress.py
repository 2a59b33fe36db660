"""Progress of a job with several items."""

from __future__ import annotations

from studio import api

from ..inference.streamed_graph import ReportProgress


def report_item(ctx: api.Context, index: int, count: int, text: str) -> ReportProgress:
    """Return a function that reports the fraction (0..1) of item `index`, from 0; a `count` of 0 is unknown."""
    return lambda fraction: ctx.emit(api.Progress(index + fraction, count, text))
