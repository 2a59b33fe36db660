"""What the model sees of a page: memory, lore and a note beside the text, and what does not fit said and never
cut in silence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from studio import api

from ..models import tokenizer as vocabulary

Lore: TypeAlias = Sequence[tuple[tuple[str, ...], str]]
"""Entries: (trigger words, text)."""
Overflow: TypeAlias = Literal["oldest", "middle", "refuse"]
NEW = "new words"
OVERFLOWS = ("Leave out the oldest", "Keep the beginning, leave out the middle", "Stop and say so")


@dataclass(frozen=True)
class Page:
    """What is written and what belongs to it. The note stands before the last `depth` paragraphs."""

    text: str
    memory: str = ""
    note: str = ""
    depth: int = 2
    lore: Lore = ()


@dataclass(frozen=True)
class Seen:
    """The tokens that the model reads, how many of them are of the text, and how many of the text's tokens it does not
    see."""

    tokens: list[int]
    of_text: int
    left_out: int
    lore: tuple[str, ...] = ()
    parts: Mapping[str, int] = field(default_factory=dict)
    """How many tokens are of what; all of them."""


@dataclass(frozen=True)
class Laid:
    """The tokens of all that belongs to a page, in the order in which it is read: what is never cut, the text up to
    where the note stands, the note, and the text after it."""

    fixed: list[int]
    first: list[int]
    noted: list[int]
    last: list[int]
    lore: tuple[str, ...]
    head: Mapping[str, int]
    """What `fixed` is made of."""

    @property
    def parts(self) -> dict[str, int]:
        found = {**self.head, "note": len(self.noted)}
        return {**{name: count for name, count in found.items() if count}, "text": len(self.first) + len(self.last)}


def lore(lines: Sequence[str]) -> list[tuple[tuple[str, ...], str]]:
    """Entries from lines such as `Mira, the fox: a vixen with one white ear`. Raises BadInput for another line."""
    found = []
    for line in lines:
        words, colon, text = line.partition(":")
        triggers = tuple(word.strip() for word in words.split(",") if word.strip())
        if not (colon and triggers and text.strip()):
            raise api.BadInput(f"“{line[:60]}” is no entry.", "Write it as: word, another word: what is to be known.")
        found.append((triggers, text.strip()))
    return found


def seen(tokenizer: Any, page: Page, before: Sequence[int], room: int, overflow: Overflow) -> Seen:
    """What fits into `room` tokens; `before` (kind and title) always stands first.

    Raises BadInput when the memory alone is too long, or when the text does not fit and `overflow` is ``refuse``.
    """
    return cut(laid(tokenizer, page, before), room, overflow)


def laid(tokenizer: Any, page: Page, before: Sequence[int]) -> Laid:
    """All of it, however long."""
    entries = tuple(text for words, text in page.lore if _named(page.text, words))
    memory = page.memory.strip()
    head = "\n\n".join(part for part in (memory, *entries) if part)
    note = f"[{page.note.strip()}]\n\n" if page.note.strip() else ""
    known = vocabulary.words(tokenizer, head + "\n\n") if head else []
    of_memory = len(vocabulary.words(tokenizer, memory + "\n\n")) if memory and entries else len(known) if memory else 0
    early, late = _parted(page.text, page.depth) if note else (page.text, "")
    return Laid(
        [*before, *known],
        vocabulary.words(tokenizer, early),
        vocabulary.words(tokenizer, note) if note else [],
        vocabulary.words(tokenizer, late) if late else [],
        entries,
        {"title": len(before), "memory": of_memory, "lore": len(known) - of_memory},
    )


def cut(whole: Laid, room: int, overflow: Overflow) -> Seen:
    """What is left of it in `room` tokens. Raises BadInput as `seen` does."""
    first, last = whole.first, whole.last
    left = room - len(whole.fixed) - len(whole.noted)
    if left < min(16, len(first) + len(last)):
        raise api.BadInput("Memory, lore and note leave no room for the text.", "Shorten them.")
    over = len(first) + len(last) - left
    if over > 0:
        if overflow == "refuse":
            raise api.BadInput(
                f"The page is {over:,} tokens longer than the model can read.",
                "Shorten it, or leave something out.",
            )
        if over > len(first):
            last = last[over - len(first) :]
        start = left // 4 if overflow == "middle" and over < len(first) - left // 4 else 0
        first = first[:start] + first[start + over :]
    tokens = [*whole.fixed, *first, *whole.noted, *last]
    of_text = len(first) + len(last)
    return Seen(tokens, of_text, max(0, over), whole.lore, {**whole.parts, "text": of_text})


def budget(whole: Laid, longest: int, length: int, overflow: Overflow) -> api.TokenBudget:
    """What `cut` leaves of a page beside `length` new words; too much where it would refuse."""
    try:
        found = cut(whole, longest - length, overflow)
    except api.BadInput:
        return api.TokenBudget(longest, {**whole.parts, NEW: length})
    return api.TokenBudget(longest, {**found.parts, NEW: length}, found.left_out)


def _named(text: str, words: Sequence[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words)


def _parted(text: str, depth: int) -> tuple[str, str]:
    """The text before its last `depth` paragraphs, and those."""
    breaks = [match.end() for match in re.finditer(r"\n{2,}", text)]
    at = breaks[-depth] if 0 < depth <= len(breaks) else 0 if depth else len(text)
    return text[:at], text[at:]
