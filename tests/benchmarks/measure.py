"""One measured figure, and the table of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from msgspec import Struct

LEAST = 10
"""Samples below which a figure says nothing of the worst."""


class Unavailable(Exception):
    """Why a benchmark cannot be run here, as a sentence."""


class Figure(Struct, frozen=True, kw_only=True):
    """What was measured. `idle` is what `of_idle` says, measured on the same machine in the same minute.

    Where `judged` is `median`, the bound is meant for the typical case, else for the worst.
    """

    bench: str = ""
    what: str
    unit: str = "ms"
    samples: tuple[float, ...]
    bound: float | None = None
    idle: float | None = None
    of_idle: str = ""
    judged: str = "worst"

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def worst(self) -> float:
        return max(self.samples)

    @property
    def verdict(self) -> str:
        if self.bound is None:
            return ""
        return "holds" if (self.median if self.judged == "median" else self.worst) <= self.bound else "OVER"


def percentile(samples: Iterable[float], share: float) -> float:
    """The value that `share` (0..1) of the samples do not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(figures: Sequence[Figure]) -> str:
    heads = ("what", "idle", "median", "worst", "of", "bound", "")
    rows = [heads] + [
        (
            figure.what,
            "" if figure.idle is None else _number(figure.idle),
            _number(figure.median),
            _number(figure.worst),
            str(len(figure.samples)),
            "" if figure.bound is None else f"{_number(figure.bound)} {figure.unit} {figure.judged}",
            figure.verdict,
        )
        for figure in figures
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    idles = dict.fromkeys(figure.of_idle for figure in figures if figure.of_idle)
    return "\n".join(lines + [f"idle: {idle}" for idle in idles])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
