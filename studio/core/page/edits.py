"""The edits of a page of text, as its journal stores them. Applying a journal again restores the page.

Positions and lengths count Unicode code points. Tags and field names are those of stored pages.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from msgspec import Struct

ROOT = 0
"""Id of the empty node that every page begins with."""


class Author(Enum):
    HUMAN = "human"
    MACHINE = "machine"


class Node(Struct, frozen=True, omit_defaults=True, kw_only=True, rename={"created": "made"}):
    """A change of the parent's text: `text` replaces `removed` characters at `at`. `created` is ISO 8601."""

    id: int
    parent: int = ROOT
    at: int = 0
    removed: int = 0
    text: str = ""
    author: Author = Author.HUMAN
    created: str = ""
    job: str = ""
    creation: str = ""


class AddNode(Struct, frozen=True, tag="add"):
    """Add a node. The page does not move to it."""

    node: Node


class AmendNode(Struct, frozen=True, tag="amend", omit_defaults=True):
    """Change a node without children: keep the first `keep` characters of its text and append `text`."""

    id: int
    at: int
    removed: int
    keep: int
    text: str


class GoTo(Struct, frozen=True, tag="go"):
    """Move the page to a node, as one step for Undo."""

    to: int


class Undo(Struct, frozen=True, tag="undo"):
    """Go one step back."""


class Redo(Struct, frozen=True, tag="redo"):
    """Go one step forward again."""


class RequestText(Struct, frozen=True, tag="ask", omit_defaults=True):
    """Note that a job will write at `at` in a node's text, replacing `removed` characters."""

    job: str
    node: int
    at: int
    removed: int = 0


class FinishRequest(Struct, frozen=True, tag="answer", omit_defaults=True):
    """Note the end of a job. `creation` is empty if the job failed or was cancelled."""

    job: str
    creation: str = ""


class Anchor(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An illustration of the words that begin at `start` in the text of `node`."""

    id: int
    node: int
    start: int
    words: str
    seed: int
    job: str = ""
    creation: str = ""


class SetAnchor(Struct, frozen=True, tag="anchor"):
    """Add an anchor, or replace the one with the same `id`."""

    anchor: Anchor


class RemoveAnchor(Struct, frozen=True, tag="unanchor"):
    """Remove an anchor."""

    id: int


Edit: TypeAlias = AddNode | AmendNode | GoTo | Undo | Redo | RequestText | FinishRequest | SetAnchor | RemoveAnchor


class InsertionPoint(Struct, frozen=True, omit_defaults=True):
    """A position in the text of `node` where a job replaces `removed` characters. Alternatives share one point."""

    node: int
    at: int
    removed: int = 0


class StoredPage(Struct, kw_only=True):
    """A whole page in a snapshot.

    `trail` are the visited nodes, and `place` is the index in it that Undo and Redo move. `left` maps a node to the
    child that was visited last. `asked` maps unfinished jobs to their insertion points.
    """

    format: int = 1
    nodes: list[Node] = []
    trail: list[int] = []
    place: int = 0
    left: dict[int, int] = {}
    asked: dict[str, InsertionPoint] = {}
    anchors: list[Anchor] = []
