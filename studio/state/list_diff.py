"""How one list became another, for views that keep what did not change."""

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
        """By halves, for comparing slices is quick."""
        shorter = min(len(old), len(new))
        head = _longest(shorter, lambda low, high: old[low:high] == new[low:high])
        first, second = len(old), len(new)
        tail = _longest(
            shorter - head,
            lambda low, high: old[first - high : first - low] == new[second - high : second - low],
        )
        return Change(old, new, head, tail)


def _longest(limit: int, same: Callable[[int, int], bool]) -> int:
    """The greatest length up to `limit` for which all is the same."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if same(low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def spans(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Descending rows as (first, last) of their runs, the last run first."""
    spans: list[tuple[int, int]] = []
    for row in rows:
        if spans and spans[-1][0] == row + 1:
            spans[-1] = (row, spans[-1][1])
        else:
            spans.append((row, row))
    return spans
