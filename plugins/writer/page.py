"""What the model sees of a page: memory, lore and a note beside the text, and what does not fit said and never
cut in silence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from studio import api

from . import vocabulary

Overflow: TypeAlias = Literal["oldest", "middle", "refuse"]
OVERFLOWS = ("Leave out the oldest", "Keep the beginning, leave out the middle", "Stop and say so")


@dataclass(frozen=True)
class Page:
    """What is written and what belongs to it. `lore` are (trigger words, text); the note stands before the last `depth`
    paragraphs."""

    text: str
    memory: str = ""
    note: str = ""
    depth: int = 2
    lore: Sequence[tuple[tuple[str, ...], str]] = ()


@dataclass(frozen=True)
class Seen:
    """The tokens that the model reads, how many of them are of the text, and how many of the text's tokens it does not
    see."""

    tokens: list[int]
    of_text: int
    left_out: int
    lore: tuple[str, ...] = ()


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
    entries = [text for words, text in page.lore if _named(page.text, words)]
    head = "\n\n".join(part for part in (page.memory.strip(), *entries) if part)
    note = f"[{page.note.strip()}]\n\n" if page.note.strip() else ""
    fixed = [*before, *(vocabulary.words(tokenizer, head + "\n\n") if head else [])]
    early, late = _parted(page.text, page.depth) if note else (page.text, "")
    noted = vocabulary.words(tokenizer, note) if note else []
    first, last = vocabulary.words(tokenizer, early), vocabulary.words(tokenizer, late) if late else []
    left = room - len(fixed) - len(noted)
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
    tokens = [*fixed, *first, *noted, *last]
    return Seen(tokens, len(first) + len(last), max(0, over), tuple(entries))


def _named(text: str, words: Sequence[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words)


def _parted(text: str, depth: int) -> tuple[str, str]:
    """The text before its last `depth` paragraphs, and those."""
    breaks = [match.end() for match in re.finditer(r"\n{2,}", text)]
    at = breaks[-depth] if 0 < depth <= len(breaks) else 0 if depth else len(text)
    return text[:at], text[at:]
