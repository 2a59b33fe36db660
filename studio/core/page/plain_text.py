"""Plain text of pages: normalises it, compares texts, and counts words."""

from __future__ import annotations

import re
from bisect import bisect_right

_WORD = re.compile(r"[^\W_]+(?:['’\-.][^\W_]+)*")
_BREAK = re.compile(r"\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_NOT_DISPLAYABLE = re.compile("[\x00\ufffc\ufdd0\ufdd1\ud800-\udfff]")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[\U00020000-\U0003ffff]")
"""Characters of scripts without spaces. Each counts as a word, as in word processors."""


def common_prefix_length(one: str, other: str) -> int:
    """Return the length of the common prefix of two texts."""
    limit = min(len(one), len(other))
    if one[:limit] == other[:limit]:
        return limit
    return bisect_right(range(1, limit + 1), 0, key=lambda length: 0 if one[:length] == other[:length] else 1)


def _common_suffix_length(one: str, other: str, limit: int) -> int:
    """Return the length of the common suffix of two texts, at most `limit`."""
    limit = max(0, min(len(one), len(other), limit))
    if one[len(one) - limit :] == other[len(other) - limit :]:
        return limit
    return bisect_right(range(1, limit + 1), 0, key=lambda length: 0 if one[-length:] == other[-length:] else 1)


def find_difference(old: str, new: str, cursor: int | None = None) -> tuple[int, int, str]:
    """Return the single change between two texts: position, number of removed characters, inserted text.

    `cursor` is its position after the change, at the end of the inserted text; it resolves repeated letters.
    """
    end = _common_suffix_length(old, new, len(new) - (cursor or 0))
    start = common_prefix_length(old[: len(old) - end], new[: len(new) - end])
    return start, len(old) - end - start, new[start : len(new) - end]


def to_plain_text(text: str) -> str:
    """Normalise text for a page: lines end in a newline, and characters that Qt cannot display are replaced."""
    return _NOT_DISPLAYABLE.sub("\N{REPLACEMENT CHARACTER}", _BREAK.sub("\n", text))


def trim_selection(text: str, start: int, end: int) -> tuple[int, int]:
    """Strip white space from both ends of a selection. Without a selection, return the paragraph at the cursor."""
    if start == end:
        start = text.rfind("\n", 0, start) + 1
        after = text.find("\n", end)
        end = len(text) if after < 0 else after
    words = text[start:end]
    if not words.strip():
        return start, start
    return start + len(words) - len(words.lstrip()), end - len(words) + len(words.rstrip())


class WordCount:
    """Counts the words of a text that changes little between calls. Unchanged lines are not counted again."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        lines = text.split("\n")
        known = self._lines
        self._lines = {line: known[line] if line in known else count_words(line) for line in dict.fromkeys(lines)}
        return sum(map(self._lines.__getitem__, lines))


def count_words(text: str) -> int:
    """Count the words of a text. In scripts without spaces each character is one word."""
    spaced, unspaced = _UNSPACED.subn(" ", text)
    return unspaced + sum(1 for _ in _WORD.finditer(spaced))
