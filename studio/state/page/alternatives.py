"""Word alternatives: the other words that a model considered at a position of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

import msgspec
from PySide6.QtCore import QObject

from studio.core.page.plain_text import to_plain_text
from studio.library.creation import Creation
from studio.state.page.page import Page
from studio.state.tasks import Tasks

if TYPE_CHECKING:
    from studio.library.library import Library

CHOICES_NOTE = "choices"
"""The recipe note with the alternatives of each token: [[text, [[text, probability], …]], …]."""
_CACHE_SIZE = 64

WordOffers: TypeAlias = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Choice:
    """Other words for `length` characters of the page from `position`. `prefix` is the word's text before them."""

    node: int
    position: int
    length: int
    prefix: str
    offers: WordOffers


@dataclass(frozen=True)
class _Token:
    start: int
    offers: WordOffers


class Alternatives(QObject):
    def __init__(self, page: Page, library: Library, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._page, self._library, self._tasks = page, library, tasks
        self._tokens: dict[str, list[_Token]] = {}
        """By creation; the oldest are dropped."""

    def find(self, position: int, then: Callable[[Choice | None], None]) -> None:
        """Find the alternatives of the character after `position`; None where a human wrote it, or none are known.

        Calls `then` at once if the creation was read before.
        """
        tree = self._page.tree
        origin = tree.find_origin(position)
        creation = "" if origin is None else tree.nodes[origin[0]].creation
        if not creation or creation in self._tokens:
            then(self._find_choice(position) if creation else None)
            return

        def read(rows: Sequence[Creation]) -> None:
            while len(self._tokens) >= _CACHE_SIZE:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[creation] = _read_tokens(rows[0].recipe.notes if rows and rows[0].recipe else {})
            then(self._find_choice(position) if self._page.tree is tree else None)

        self._tasks.run(lambda: self._library.get_many([creation]), read, lambda _: then(None))

    def use(self, choice: Choice, word: str) -> None:
        """Show a branch that ends with `word` in the place of the model's own word."""
        self._page.add_branch(choice.node, choice.position, word)

    def _find_choice(self, position: int) -> Choice | None:
        tree = self._page.tree
        origin = tree.find_origin(position)
        if origin is None:
            return None
        node, offset = origin
        written = tree.nodes[node]
        for token in self._tokens.get(written.creation, ()):
            matches = [word for word, _ in token.offers if written.text.startswith(word, token.start)]
            length = max(map(len, matches), default=0)
            if token.start <= offset < token.start + length:
                start = position - (offset - token.start)
                if tree.text[start : start + length] != written.text[token.start : token.start + length]:
                    return None
                return Choice(node, start, length, _word_prefix(tree.text, start), token.offers)
        return None


def _read_tokens(notes: Mapping[str, object]) -> list[_Token]:
    """Return the tokens in a result's notes; an empty list if the note has another form."""
    try:
        choices = msgspec.convert(notes.get(CHOICES_NOTE, []), list[tuple[str, list[tuple[str, float]]]])
    except msgspec.ValidationError:
        return []
    texts = [to_plain_text(text) for text, _ in choices]
    starts = accumulate((len(text) for text in texts), initial=0)
    offers = (tuple((to_plain_text(word), p) for word, p in words if word) for _, words in choices)
    return [_Token(start, words) for start, words, text in zip(starts, offers, texts, strict=False) if words and text]


def _word_prefix(text: str, position: int) -> str:
    """Return the letters of a word before a position inside it."""
    start = position
    while start > 0 and text[start - 1].isalnum():
        start -= 1
    return text[start:position]
