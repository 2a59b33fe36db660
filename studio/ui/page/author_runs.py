"""Who wrote which stretch of a text, as (author, length), so that an editor paints anew only what it must."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from studio.core.page.edits import Author

AuthorRuns: TypeAlias = list[tuple[Author, int]]


def merge_runs(parts: Iterable[tuple[Author, int]]) -> AuthorRuns:
    """Without empty stretches, neighbours of one author made one."""
    spans: AuthorRuns = []
    for author, length in parts:
        if length and spans and spans[-1][0] is author:
            spans[-1] = (author, spans[-1][1] + length)
        elif length:
            spans.append((author, length))
    return spans


def slice_runs(spans: Sequence[tuple[Author, int]], start: int, end: int) -> AuthorRuns:
    """The stretches between two places."""
    found: AuthorRuns = []
    at = 0
    for author, length in spans:
        first, last = max(at, start), min(at + length, end)
        if first < last:
            found.append((author, last - first))
        at += length
    return found


def splice_runs(spans: AuthorRuns, at: int, removed: int, new: AuthorRuns) -> AuthorRuns:
    """After `removed` characters at `at` gave way to others."""
    whole = sum(length for _, length in spans)
    return merge_runs([*slice_runs(spans, 0, at), *new, *slice_runs(spans, at + removed, whole)])
