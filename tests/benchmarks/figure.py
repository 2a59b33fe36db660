"""A measured figure, and the table of figures."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from msgspec import Struct

MIN_SAMPLES = 10
"""Minimum number of samples for a meaningful worst case."""


class Unavailable(Exception):
    """The benchmark cannot run here. The message is a sentence."""


class Figure(Struct, frozen=True, kw_only=True):
    """Samples of one quantity. `baseline` is measured on the same machine at the same time.

    The `bound` applies to the median if `statistic` is `median`, else to the worst sample.
    """

    bench: str = ""
    title: str
    unit: str = "ms"
    samples: tuple[float, ...]
    bound: float | None = None
    baseline: float | None = None
    baseline_title: str = ""
    statistic: str = "worst"

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
        return "holds" if (self.median if self.statistic == "median" else self.worst) <= self.bound else "OVER"


def percentile(samples: Iterable[float], fraction: float) -> float:
    """Return the value that a `fraction` (0..1) of the samples does not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def format_table(figures: Sequence[Figure]) -> str:
    """Format figures as a table, with the titles of their baselines below."""
    heads = ("figure", "baseline", "median", "worst", "samples", "bound", "")
    rows = [heads] + [
        (
            figure.title,
            "" if figure.baseline is None else _format_number(figure.baseline),
            _format_number(figure.median),
            _format_number(figure.worst),
            str(len(figure.samples)),
            "" if figure.bound is None else f"{_format_number(figure.bound)} {figure.unit} {figure.statistic}",
            figure.verdict,
        )
        for figure in figures
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    titles = dict.fromkeys(figure.baseline_title for figure in figures if figure.baseline_title)
    return "\n".join(lines + [f"baseline: {title}" for title in titles])


def _format_number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
