"""The search language: parses the text of the search field into an FTS5 match and conditions on rows.

Words and ``"phrases"``; the last word matches by its beginning; ``-word`` excludes; ``tool:style``,
``tag:x``, ``tag:"two words"``, ``rating:>=3``, ``is:starred``, ``kind:image``, ``seed:5``,
``before:2026-11-01``, ``after:2026-11``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from studio.library.creation import CreationKind

MAX_LENGTH = 2_000
MAX_TERMS = 32
_TERM = re.compile(r'(-?)(?:([a-z]+):)?(?:"([^"]*)"?|(\S+))')
_RATING = re.compile(r"(>=|<=|>|<|=)?([0-5])\Z")
_SCRIPTS = "([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
"""Characters of scripts without spaces. Each is indexed as a word, so that any part of a line can be found."""


@dataclass
class Query:
    """`match` is an FTS5 expression, empty without words; `where` are conditions on table `c` with their `values`."""

    match: str = ""
    where: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


def to_index_text(text: str) -> str:
    """Separate the characters of scripts without spaces, as the index stores text."""
    text = text.replace("\0", " ")
    return text if text.isascii() else re.sub(_SCRIPTS, r" \1 ", text)


def parse(text: str) -> Query:
    """Parse a search. Never fails: an unknown condition counts as a word, and punctuation alone is ignored."""
    query = Query()
    text = text[:MAX_LENGTH].replace("\0", " ").encode("utf-8", "replace").decode()
    terms = [term for term in list(_TERM.finditer(text))[:MAX_TERMS] if not _add_condition(query, term)]
    included: list[str] = []
    excluded: list[str] = []
    for term in terms:
        minus, name, phrase, word = term.groups()
        is_unfinished = term is terms[-1] and phrase is None and not text[-1].isspace()
        value = word if phrase is None else phrase
        if name == "tool":
            match = _build_match(value, beginning=True, column="tool : ")
        else:
            match = _build_match(f"{name}:{value}" if name else value, beginning=is_unfinished)
        if match:
            (excluded if minus else included).append(match)
    query.match = " AND ".join(included)
    for match in excluded:
        query.where.append("c.key NOT IN (SELECT rowid FROM words WHERE words MATCH ?)")
        query.values.append(match)
    return query


def _build_match(value: str, *, beginning: bool, column: str = "") -> str:
    text = to_index_text(value)
    if not any(letter.isalnum() for letter in text):
        return ""
    return column + '"' + text.replace('"', '""').strip() + '"' + ("*" if beginning else "")


def _add_condition(query: Query, term: re.Match[str]) -> bool:
    """Add a term to the conditions. Return False if it is not a condition."""
    minus, name, phrase, word = term.groups()
    condition = _build_condition(name, word if phrase is None else phrase) if name else None
    if condition is None:
        return False
    query.where.append(f"NOT ({condition[0]})" if minus else condition[0])
    query.values.extend(condition[1:])
    return True


def _build_condition(name: str, value: str) -> tuple[Any, ...] | None:
    match name:
        case "tag":
            return "c.key IN (SELECT key FROM tags WHERE tag = ?)", value.casefold()
        case "is" if value in ("starred", "star"):
            return ("c.star = 1",)
        case "kind" if value in {kind.value for kind in CreationKind}:
            return "c.kind = ?", value
        case "seed" if value.isascii() and value.isdigit() and len(value) < 19:
            return "c.seed = ?", int(value)
        case "rating" if match := _RATING.match(value):
            return f"c.rating {match[1] or '='} ?", int(match[2])
        case "before" | "after":
            moment = _parse_date(value)
            return None if moment is None else (f"c.key {'<' if name == 'before' else '>='} ?", moment << 10)
        case _:
            return None


def _parse_date(value: str) -> int | None:
    """Convert a local day, month or year to milliseconds since 1970."""
    for form in ("%Y-%m-%d", "%Y-%m", "%Y"):
        try:
            return int(datetime.strptime(value, form).timestamp() * 1000)
        except (ValueError, OverflowError, OSError):
            continue
    return None
