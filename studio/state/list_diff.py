"""The difference of two lists, for views that keep the rows that did not change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Change(NamedTuple):
    """Two lists of ids and how many at the start (`head`) and at the end (`tail`) are the same."""

    old: list[str]
    new: list[str]
    head: int
    tail: int

    @staticmethod
    def between(old: list[str], new: list[str]) -> Change:
        """Compare two lists by bisection, since comparing slices is fast."""
        shorter = min(len(old), len(new))
        head = _find_longest(shorter, lambda low, high: old[low:high] == new[low:high])
        first, second = len(old), len(new)
        tail = _find_longest(
            shorter - head,
            lambda low, high: old[first - high : first - low] == new[second - high : second - low],
        )
        return Change(old, new, head, tail)


def _find_longest(limit: int, same: Callable[[int, int], bool]) -> int:
    """Return the greatest length up to `limit` for which `same(0, length)` holds."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if same(low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def find_spans(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return the runs of descending rows as (first, last), the last run first."""
    spans: list[tuple[int, int]] = []
    for row in rows:
        if spans and spans[-1][0] == row + 1:
            spans[-1] = (row, spans[-1][1])
        else:
            spans.append((row, row))
    return spans
