"""The authors of a text as runs of (author, length), so that an editor reformats only what has changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from studio.core.page.edits import Author

AuthorRuns: TypeAlias = list[tuple[Author, int]]


def merge_runs(parts: Iterable[tuple[Author, int]]) -> AuthorRuns:
    """Return the runs without empty ones, with neighbours of one author merged."""
    runs: AuthorRuns = []
    for author, length in parts:
        if length and runs and runs[-1][0] is author:
            runs[-1] = (author, runs[-1][1] + length)
        elif length:
            runs.append((author, length))
    return runs


def slice_runs(runs: Sequence[tuple[Author, int]], start: int, end: int) -> AuthorRuns:
    """Return the runs between two positions."""
    part: AuthorRuns = []
    at = 0
    for author, length in runs:
        first, last = max(at, start), min(at + length, end)
        if first < last:
            part.append((author, last - first))
        at += length
    return part


def splice_runs(runs: AuthorRuns, at: int, removed: int, new: AuthorRuns) -> AuthorRuns:
    """Return the runs after `removed` characters at `at` were replaced by `new`."""
    total = sum(length for _, length in runs)
    return merge_runs([*slice_runs(runs, 0, at), *new, *slice_runs(runs, at + removed, total)])
