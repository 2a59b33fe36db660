"""What can happen to a page of text, as it is stored: a journal of moves makes the same page again.

Places and lengths count Unicode code points.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from msgspec import Struct

ROOT = 0
"""The node that every page begins with: no text."""


class Author(Enum):
    HUMAN = "human"
    MACHINE = "machine"


class Node(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """In the parent's text, `removed` characters at `at` gave way to `text`. `made` is ISO 8601."""

    id: int
    parent: int = ROOT
    at: int = 0
    removed: int = 0
    text: str = ""
    author: Author = Author.HUMAN
    made: str = ""
    job: str = ""
    creation: str = ""


class Added(Struct, frozen=True, tag="add"):
    """A new node. The page does not go there by itself."""

    node: Node


class Amended(Struct, frozen=True, tag="amend", omit_defaults=True):
    """A node without children goes on: `keep` characters of its text stay, `text` follows them."""

    id: int
    at: int
    removed: int
    keep: int
    text: str


class Went(Struct, frozen=True, tag="go"):
    """A step that Undo takes back."""

    to: int


class Undone(Struct, frozen=True, tag="undo"):
    pass


class Redone(Struct, frozen=True, tag="redo"):
    pass


class Asked(Struct, frozen=True, tag="ask", omit_defaults=True):
    """A job was asked to write at a place of a node's text, in the place of `removed` characters."""

    job: str
    node: int
    at: int
    removed: int = 0


class Answered(Struct, frozen=True, tag="answer", omit_defaults=True):
    """A job has ended, with a creation unless it failed or was stopped."""

    job: str
    creation: str = ""


class Anchor(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A picture that was painted from words: those from `start` in the text of `node`."""

    id: int
    node: int
    start: int
    words: str
    seed: int
    job: str = ""
    creation: str = ""


class Anchored(Struct, frozen=True, tag="anchor"):
    """A new anchor, or a known one (the same `id`) with another picture."""

    anchor: Anchor


class Unanchored(Struct, frozen=True, tag="unanchor"):
    id: int


Move: TypeAlias = Added | Amended | Went | Undone | Redone | Asked | Answered | Anchored | Unanchored


class Ask(Struct, frozen=True, omit_defaults=True):
    """A place to write at: in the text of `node`, at `at`, for `removed` characters. Alternatives share it."""

    node: int
    at: int
    removed: int = 0


class Stored(Struct, kw_only=True):
    """A whole page as it is stored. `trail` are the nodes gone to, `place` where Undo and Redo stand in it."""

    format: int = 1
    nodes: list[Node] = []
    trail: list[int] = []
    place: int = 0
    left: dict[int, int] = {}
    asked: dict[str, Ask] = {}
    anchors: list[Anchor] = []
