"""What each word of a model won against: looked up in what it wrote, and gone on from when another is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec
from PySide6.QtCore import QObject

from studio.core.page.plain_text import to_plain_text
from studio.library.creation import Creation
from studio.state.page.page import Page
from studio.state.tasks import Tasks

if TYPE_CHECKING:
    from studio.library.library import Library

CHOICES = "choices"
"""The note of a result that has them: [[text, [[text, probability], …]], …], piece by piece."""
_REMEMBERED = 64

Offers = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Choice:
    """Other words for `length` characters of the page from `place`. `begun` stands before them in the same word."""

    node: int
    place: int
    length: int
    begun: str
    offers: Offers


@dataclass(frozen=True)
class _Piece:
    start: int
    offers: Offers


class Alternatives(QObject):
    def __init__(self, page: Page, library: Library, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._page, self._library, self._tasks = page, library, tasks
        self._known: dict[str, list[_Piece]] = {}

    def find(self, place: int, then: Callable[[Choice | None], None]) -> None:
        """What the character after `place` won against; None where a human wrote it, or nothing is known.

        Answers at once where it was looked up before.
        """
        book = self._page.book
        found = book.find_origin(place)
        creation = "" if found is None else book.nodes[found[0]].creation
        if not creation or creation in self._known:
            then(self._choice(place) if creation else None)
            return

        def read(rows: Sequence[Creation]) -> None:
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[creation] = _pieces(rows[0].recipe.notes if rows and rows[0].recipe else {})
            then(self._choice(place) if self._page.book is book else None)

        self._tasks.run(lambda: self._library.get_many([creation]), read, lambda _: then(None))

    def take(self, choice: Choice, word: str) -> None:
        """The page goes to a branch that ends with `word`; the cursor stands behind it."""
        self._page.branch(choice.node, choice.place, word)

    def _choice(self, place: int) -> Choice | None:
        book = self._page.book
        found = book.find_origin(place)
        if found is None:
            return None
        node, at = found
        made = book.nodes[node]
        for piece in self._known.get(made.creation, ()):
            here = [word for word, _ in piece.offers if made.text.startswith(word, piece.start)]
            length = max(map(len, here), default=0)
            if piece.start <= at < piece.start + length:
                start = place - (at - piece.start)
                if book.text[start : start + length] != made.text[piece.start : piece.start + length]:
                    return None
                return Choice(node, start, length, _begun(book.text, start), piece.offers)
        return None


def _pieces(notes: dict[str, Any]) -> list[_Piece]:
    """Those that a result's notes tell; none where they are not as they should be."""
    try:
        told = msgspec.convert(notes.get(CHOICES, []), list[tuple[str, list[tuple[str, float]]]])
    except msgspec.ValidationError:
        return []
    texts = [to_plain_text(text) for text, _ in told]
    starts = accumulate((len(text) for text in texts), initial=0)
    offers = (tuple((to_plain_text(word), share) for word, share in some if word) for _, some in told)
    return [_Piece(start, some) for start, some, text in zip(starts, offers, texts, strict=False) if some and text]


def _begun(text: str, place: int) -> str:
    """The letters of a word before a place in its middle."""
    start = place
    while start > 0 and text[start - 1].isalnum():
        start -= 1
    return text[start:place]
