"""Lorebooks of other programs: entries that a writer is told when one of their keywords occurs.

Read are the world info files of SillyTavern, and the books inside character cards of version 2 and 3 and alone.
Everything in them is untrusted text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from studio.core.card_texts import MAX_JSON, clean_text, fill_macros, parse_json
from studio.core.errors import BadInput
from studio.core.untrusted_files import damage_as_bad_input, name_for_display, read_file

MAX_ENTRIES = 10_000
MAX_KEYWORDS = 100
"""Number of keywords of one entry that are read."""


class LoreEntry(Struct, frozen=True, kw_only=True):
    """`is_constant` means that the text is always told."""

    keywords: tuple[str, ...] = ()
    text: str
    is_constant: bool = False


class Lorebook(Struct, frozen=True, kw_only=True):
    """The enabled entries in the order of insertion. `ignored` counts those without keywords that can be used here."""

    name: str = ""
    entries: tuple[LoreEntry, ...] = ()
    ignored: int = 0

    def list_lines(self, character: str, user: str) -> list[str]:
        """List the entries with keywords as the writer has them, ``keyword, another keyword: text``, with names."""
        lines = []
        for entry in self.entries:
            keywords = [_to_keyword(fill_macros(word, character, user)) for word in entry.keywords]
            text = " ".join(fill_macros(entry.text, character, user).split())
            if text and any(keywords) and not entry.is_constant:
                lines.append(f"{', '.join(filter(None, keywords))}: {text}")
        return lines

    def join_constant_texts(self, character: str, user: str) -> str:
        """Join the texts that are always told."""
        texts = [fill_macros(entry.text, character, user) for entry in self.entries if entry.is_constant]
        return "\n\n".join(filter(None, texts))


def read_lorebook(path: Path) -> Lorebook:
    """Read a lorebook file. Raises BadInput for another file."""
    with damage_as_bad_input(path):
        book = parse_lorebook(parse_json(read_file(path, MAX_JSON)))
    if book is None:
        raise BadInput(f"{name_for_display(path)} is not a lorebook.", "Choose a world info file of SillyTavern.")
    return book


def parse_lorebook(content: object) -> Lorebook | None:
    """Parse a lorebook. Return None for anything else. Values of a wrong type are left out."""
    book = content.get("data", content) if isinstance(content, dict) else None
    if not isinstance(book, dict):
        return None
    entries = book.get("entries")
    if isinstance(entries, dict):
        entries = list(entries.values())
    if not isinstance(entries, list):
        return None
    known = [entry for entry in entries[:MAX_ENTRIES] if isinstance(entry, dict)]
    enabled = [entry for entry in known if entry.get("enabled", True) is not False and entry.get("disable") is not True]
    enabled.sort(key=_order_of)
    parsed = [(_parse_entry(entry), clean_text(entry.get("content"))) for entry in enabled]
    usable = tuple(entry for entry, _ in parsed if entry is not None)
    ignored = sum(entry is None and bool(text) for entry, text in parsed)
    return Lorebook(name=clean_text(book.get("name")), entries=usable, ignored=ignored)


def _parse_entry(entry: Mapping[str, Any]) -> LoreEntry | None:
    """Return an entry; None for one without text, or without plain keywords although it needs some."""
    text = clean_text(entry.get("content"))
    keys = entry.get("keys", entry.get("key"))
    if isinstance(keys, str):
        keys = keys.split(",")
    words = [clean_text(key) for key in keys[:MAX_KEYWORDS]] if isinstance(keys, list) else []
    keywords = tuple(dict.fromkeys(word for word in words if _to_keyword(word) and not _is_pattern(word)))
    is_constant = entry.get("constant") is True
    if not text or not (keywords or is_constant):
        return None
    return LoreEntry(keywords=keywords, text=text, is_constant=is_constant)


def _to_keyword(word: str) -> str:
    """Return a keyword without the signs that end one in a line of the writer's lorebook."""
    return " ".join(word.replace(",", " ").replace(":", " ").split())


def _is_pattern(word: str) -> bool:
    """Check whether a keyword is a regular expression such as ``/fox(es)?/i``. A stranger's are not evaluated."""
    return len(word) > 2 and word.startswith("/") and "/" in word[1:]


def _order_of(entry: Mapping[str, Any]) -> float:
    order = entry.get("insertion_order", entry.get("order"))
    return max(-1e9, min(1e9, order)) if isinstance(order, int | float) and order == order else 0
