"""Plain text: as a page holds it, how two texts differ, and how many words there are."""

from __future__ import annotations

import re
from bisect import bisect_right

_WORD = re.compile(r"[^\W_]+(?:['’\-.][^\W_]+)*")
_BREAK = re.compile(r"\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_ODD = re.compile("[\x00\ufffc\ufdd0\ufdd1\ud800-\udfff]")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[\U00020000-\U0003ffff]")
"""Scripts without spaces, where each character counts as a word, as word processors do."""


def common_start(one: str, other: str) -> int:
    """How many characters two texts share at their beginning."""
    reach = min(len(one), len(other))
    if one[:reach] == other[:reach]:
        return reach
    return bisect_right(range(1, reach + 1), 0, key=lambda length: 0 if one[:length] == other[:length] else 1)


def _common_end(one: str, other: str, most: int) -> int:
    """How many characters two texts share at their end, `most` at the most."""
    reach = max(0, min(len(one), len(other), most))
    if one[len(one) - reach :] == other[len(other) - reach :]:
        return reach
    return bisect_right(range(1, reach + 1), 0, key=lambda length: 0 if one[-length:] == other[-length:] else 1)


def difference(old: str, new: str, cursor: int | None = None) -> tuple[int, int, str]:
    """What was changed: at which place, how many characters gave way, and to which.

    `cursor` is where it stands afterwards, at the end of what was written; it decides where letters repeat.
    """
    end = _common_end(old, new, len(new) - (cursor or 0))
    start = common_start(old[: len(old) - end], new[: len(new) - end])
    return start, len(old) - end - start, new[start : len(new) - end]


def plain(text: str) -> str:
    """Text as a page holds it: lines end in a newline, and nothing stands in it that an editor could not show."""
    return _ODD.sub("\N{REPLACEMENT CHARACTER}", _BREAK.sub("\n", text))


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without white space at both ends; where nothing is selected, the paragraph."""
    if start == end:
        start = text.rfind("\n", 0, start) + 1
        after = text.find("\n", end)
        end = len(text) if after < 0 else after
    words = text[start:end]
    if not words.strip():
        return start, start
    return start + len(words) - len(words.lstrip()), end - len(words) + len(words.rstrip())


class WordCount:
    """The words of a text that changes a little from time to time: what stayed is not counted again."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        lines = text.split("\n")
        known = self._lines
        self._lines = {line: known[line] if line in known else count_words(line) for line in dict.fromkeys(lines)}
        return sum(map(self._lines.__getitem__, lines))


def count_words(text: str) -> int:
    """Words as a reader counts them; in scripts without spaces each character is one."""
    spaced, unspaced = _UNSPACED.subn(" ", text)
    return unspaced + sum(1 for _ in _WORD.finditer(spaced))
