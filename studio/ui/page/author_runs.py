"""Who wrote which stretch of a text, as (author, length), so that an editor paints anew only what it must."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from studio.core.page.edits import Author

Spans: TypeAlias = list[tuple[Author, int]]


def joined(parts: Iterable[tuple[Author, int]]) -> Spans:
    """Without empty stretches, neighbours of one author made one."""
    spans: Spans = []
    for author, length in parts:
        if length and spans and spans[-1][0] is author:
            spans[-1] = (author, spans[-1][1] + length)
        elif length:
            spans.append((author, length))
    return spans


def cut(spans: Sequence[tuple[Author, int]], start: int, end: int) -> Spans:
    """The stretches between two places."""
    found: Spans = []
    at = 0
    for author, length in spans:
        first, last = max(at, start), min(at + length, end)
        if first < last:
            found.append((author, last - first))
        at += length
    return found


def spliced(spans: Spans, at: int, removed: int, new: Spans) -> Spans:
    """After `removed` characters at `at` gave way to others."""
    whole = sum(length for _, length in spans)
    return joined([*cut(spans, 0, at), *new, *cut(spans, at + removed, whole)])
