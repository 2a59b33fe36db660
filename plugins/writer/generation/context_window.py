"""Build the prompt from a page, its memory, lorebook and author's note, and truncate it to the context window."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from studio import api

from ..models.tokenizer import TokenEncoder, encode_text

Lorebook: TypeAlias = Sequence[tuple[tuple[str, ...], str]]
"""Entries: (keywords, text)."""
Overflow: TypeAlias = Literal["oldest", "middle", "refuse"]
OVERFLOW_LABELS = ("Drop the oldest text", "Keep the beginning, drop the middle", "Stop with an error")
NEW_TOKENS = "new tokens"
"""Name of the part of a token budget that is kept free for the output."""
MIN_TEXT_TOKENS = 16
"""Tokens of the text for which memory, lorebook and author's note must leave space."""


@dataclass(frozen=True)
class PageContext:
    """A text, and what the model reads with it. The author's note goes before the last `note_depth` paragraphs."""

    text: str
    memory: str = ""
    note: str = ""
    note_depth: int = 2
    lorebook: Lorebook = ()


@dataclass(frozen=True)
class EncodedContext:
    """All tokens of a page in the order in which the model reads them, however many they are."""

    fixed: list[int]
    """Title, memory and lorebook entries, which are never truncated."""
    text_before_note: list[int]
    note: list[int]
    text_after_note: list[int]
    lorebook: tuple[str, ...]
    """Texts of the active lorebook entries."""
    fixed_parts: Mapping[str, int]
    """Number of tokens by part of `fixed`."""

    @property
    def parts(self) -> dict[str, int]:
        """Number of tokens by part; empty parts are left out."""
        counts = {**self.fixed_parts, "author's note": len(self.note)}
        text = len(self.text_before_note) + len(self.text_after_note)
        return {**{name: count for name, count in counts.items() if count}, "text": text}


@dataclass(frozen=True)
class ContextWindow:
    """The tokens that the model reads."""

    tokens: list[int]
    text_tokens: int
    """Number of tokens of the text among them."""
    left_out: int
    """Number of tokens of the text that were truncated."""
    lorebook: tuple[str, ...] = ()
    parts: Mapping[str, int] = field(default_factory=dict)
    """Number of tokens by part."""


def parse_lorebook(lines: Sequence[str]) -> list[tuple[tuple[str, ...], str]]:
    """Parse lines such as `Mira, the fox: a vixen with one white ear`. Raises BadInput for a line in another format."""
    entries = []
    for line in lines:
        words, colon, text = line.partition(":")
        keywords = tuple(word.strip() for word in words.split(",") if word.strip())
        if not (colon and keywords and text.strip()):
            raise api.BadInput(
                f"“{line[:60]}” is not a lorebook entry.", "Write it as: keyword, another keyword: what is to be known."
            )
        entries.append((keywords, text.strip()))
    return entries


def find_active_entries(text: str, lorebook: Lorebook) -> tuple[str, ...]:
    """Return the texts of the entries with a keyword that occurs in a text."""
    return tuple(entry for keywords, entry in lorebook if _has_keyword(text, keywords))


def build_context(
    tokenizer: TokenEncoder, page: PageContext, header: Sequence[int], limit: int, overflow: Overflow
) -> ContextWindow:
    """Encode a page and truncate it to `limit` tokens; `header` (kind and title) always comes first.

    Raises BadInput as `fit_to_window` does.
    """
    return fit_to_window(encode_context(tokenizer, page, header), limit, overflow)


def encode_context(tokenizer: TokenEncoder, page: PageContext, header: Sequence[int]) -> EncodedContext:
    """Encode a page with its memory, active lorebook entries and author's note."""
    entries = find_active_entries(page.text, page.lorebook)
    memory = page.memory.strip()
    preface = "\n\n".join(part for part in (memory, *entries) if part)
    note = f"[{page.note.strip()}]\n\n" if page.note.strip() else ""
    preface_tokens = encode_text(tokenizer, preface + "\n\n") if preface else []
    memory_count = len(preface_tokens) if memory else 0
    if memory and entries:
        memory_count = len(encode_text(tokenizer, memory + "\n\n"))
    before, after = _split_text(page.text, page.note_depth) if note else (page.text, "")
    return EncodedContext(
        [*header, *preface_tokens],
        encode_text(tokenizer, before),
        encode_text(tokenizer, note) if note else [],
        encode_text(tokenizer, after) if after else [],
        entries,
        {"title": len(header), "memory": memory_count, "lorebook": len(preface_tokens) - memory_count},
    )


def fit_to_window(context: EncodedContext, limit: int, overflow: Overflow) -> ContextWindow:
    """Truncate the text so that all fits into `limit` tokens.

    Raises BadInput if memory, lorebook and note leave no space for the text, or if the text does not fit and `overflow`
    is ``refuse``.
    """
    before, after = context.text_before_note, context.text_after_note
    available = limit - len(context.fixed) - len(context.note)
    if available < min(MIN_TEXT_TOKENS, len(before) + len(after)):
        raise api.BadInput("Memory, lorebook and author's note leave no space for the text.", "Shorten them.")
    excess = len(before) + len(after) - available
    if excess > 0:
        if overflow == "refuse":
            raise api.BadInput(
                f"The text is {excess:,} tokens longer than the context window of the model.",
                "Shorten it, or choose what to drop under “Context overflow”.",
            )
        if excess > len(before):
            after = after[excess - len(before) :]
        keeps_beginning = overflow == "middle" and excess < len(before) - available // 4
        start = available // 4 if keeps_beginning else 0
        before = before[:start] + before[start + excess :]
    tokens = [*context.fixed, *before, *context.note, *after]
    text_tokens = len(before) + len(after)
    parts = {**context.parts, "text": text_tokens}
    return ContextWindow(tokens, text_tokens, max(0, excess), context.lorebook, parts)


def compute_token_budget(
    context: EncodedContext, context_length: int, length: int, overflow: Overflow
) -> api.TokenBudget:
    """Return the token budget with `length` new tokens; it is over the limit where `fit_to_window` would raise."""
    try:
        window = fit_to_window(context, context_length - length, overflow)
    except api.BadInput:
        return api.TokenBudget(context_length, {**context.parts, NEW_TOKENS: length})
    return api.TokenBudget(context_length, {**window.parts, NEW_TOKENS: length}, window.left_out)


def _has_keyword(text: str, keywords: Sequence[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in keywords)


def _split_text(text: str, depth: int) -> tuple[str, str]:
    """Return the text before its last `depth` paragraphs, and those paragraphs."""
    breaks = [match.end() for match in re.finditer(r"\n{2,}", text)]
    place = breaks[-depth] if 0 < depth <= len(breaks) else 0 if depth else len(text)
    return text[:place], text[place:]
