"""A page of text as a tree of changes: nothing that was ever written on it is lost.

Each node says what it changed in its parent's text: at one place, so many characters gave way to others.
The text at a node is what all changes from the root make, so a page can be edited anywhere, and what was
there before is still a node. A continuation that was written again is a sibling of the first.

Whatever happens is a move (`Added`, `Amended`, `Went` …). A journal of moves makes the same page again.
Places and lengths count Unicode code points.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from studio.core.page.edits import (
    ROOT,
    Added,
    Amended,
    Anchor,
    Anchored,
    Answered,
    Ask,
    Asked,
    Author,
    Move,
    Node,
    Redone,
    Stored,
    Unanchored,
    Undone,
    Went,
)
from studio.core.page.plain_text import common_start

_EVERY = 32
"""So many nodes apart, the text of a node on a long path is remembered."""
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Piece:
    """`length` characters of a node's own text, from `start`."""

    node: int
    start: int
    length: int


@dataclass(frozen=True)
class Run:
    """Words in a row that one author wrote."""

    text: str
    author: Author


@dataclass(frozen=True)
class Found:
    """Where a search met: at `at` in the text of `node`, with the words around it."""

    node: int
    at: int
    around: str


class Manuscript:
    """The page. Every method that changes it returns the moves to be stored."""

    def __init__(self, stored: Stored | None = None) -> None:
        stored = stored or Stored()
        self.nodes: dict[int, Node] = {ROOT: Node(id=ROOT)}
        self._children: dict[int, list[int]] = {}
        self._last = ROOT
        for node in stored.nodes:
            self._put(node)
        self._trail = [id for id in stored.trail if id in self.nodes] or [ROOT]
        self._place = max(0, min(stored.place, len(self._trail) - 1))
        self._left = {a: b for a, b in stored.left.items() if a in self.nodes and b in self.nodes}
        self.asked = {job: ask for job, ask in stored.asked.items() if ask.node in self.nodes}
        self.anchors = {one.id: one for one in stored.anchors if one.node in self.nodes}
        self._pieces: dict[int, tuple[Piece, ...]] = {ROOT: ()}
        self._texts: tuple[int, str] = (ROOT, "")
        self._sealed = self.current
        """What is not amended any more: Undo stops there."""

    def stored(self) -> Stored:
        return Stored(
            nodes=[node for id, node in self.nodes.items() if id != ROOT],
            trail=list(self._trail),
            place=self._place,
            left=dict(self._left),
            asked=dict(self.asked),
            anchors=list(self.anchors.values()),
        )

    # What is on the page
    @property
    def current(self) -> int:
        return self._trail[self._place]

    @property
    def text(self) -> str:
        return self.text_at(self.current)

    def text_at(self, node: int) -> str:
        known, words = self._texts
        if known == node:
            return words
        made = self.nodes[node]
        if known == made.parent and node != ROOT:
            words = words[: made.at] + made.text + words[made.at + made.removed :]
        else:
            nodes = self.nodes
            words = "".join(nodes[one.node].text[one.start : one.start + one.length] for one in self.pieces(node))
        self._texts = (node, words)
        return words

    def runs(self, node: int | None = None) -> list[Run]:
        """The text by author. Neighbours of one author are one run."""
        return self._runs(self.pieces(self.current if node is None else node))

    def passage(self, node: int) -> list[Run]:
        """A node's words as its branch has them now, with what was written between them; none where all are gone."""
        pieces = self.pieces(self.furthest(node))
        own = [number for number, piece in enumerate(pieces) if piece.node == node]
        return self._runs(pieces[own[0] : own[-1] + 1]) if own else []

    def _runs(self, pieces: Sequence[Piece]) -> list[Run]:
        runs: list[Run] = []
        for piece in pieces:
            made = self.nodes[piece.node]
            words = made.text[piece.start : piece.start + piece.length]
            if runs and runs[-1].author is made.author:
                runs[-1] = Run(runs[-1].text + words, made.author)
            else:
                runs.append(Run(words, made.author))
        return runs

    def node_at(self, place: int, node: int | None = None) -> int:
        """Which node wrote the character before `place`; the root at the beginning."""
        passed = 0
        for piece in self.pieces(self.current if node is None else node):
            passed += piece.length
            if place <= passed and place > 0:
                return piece.node
        return ROOT

    def origin(self, place: int) -> tuple[int, int] | None:
        """Which node wrote the character after `place`, and where in its own text it stands; None past the end."""
        pieces = self.pieces(self.current)
        number, offset = _find(pieces, place)
        return (pieces[number].node, pieces[number].start + offset) if number < len(pieces) else None

    def end_of(self, node: int) -> int | None:
        """Where the last of a node's words end in the current text; None where none are left."""
        passed, end = 0, None
        for piece in self.pieces(self.current):
            passed += piece.length
            if piece.node == node:
                end = passed
        return end

    def pieces(self, node: int) -> tuple[Piece, ...]:
        """From the nearest ancestor whose pieces are known, change by change."""
        way = []
        at = node
        while at not in self._pieces:
            way.append(at)
            at = self.nodes[at].parent
        pieces = self._pieces[at]
        if len(self._pieces) > _REMEMBERED:
            self._pieces = {ROOT: (), at: pieces}
        for count, id in enumerate(reversed(way)):
            pieces = _changed(pieces, self.nodes[id])
            if count % _EVERY == 0 or count >= len(way) - 2:
                self._pieces[id] = pieces
        return pieces

    # The tree
    def path(self, node: int) -> list[int]:
        """From the root's child to `node`."""
        way = []
        while node != ROOT:
            way.append(node)
            node = self.nodes[node].parent
        return way[::-1]

    def children(self, node: int) -> Sequence[int]:
        return tuple(self._children.get(node, ()))

    def generation(self, place: int | None = None) -> int | None:
        """What the machine wrote before `place`, or else last on the path; None where it wrote nothing."""
        if place is not None and self._by_machine(found := self.node_at(place)):
            return found
        node = self.current
        while node != ROOT and not self._by_machine(node):
            node = self.nodes[node].parent
        return None if node == ROOT else node

    def asked_by(self, generation: int) -> Ask:
        """The place where the machine wrote it."""
        one = self.nodes[generation]
        return Ask(one.parent, one.at, one.removed)

    def answers(self, ask: Ask) -> list[int]:
        """All that the machine wrote at a place, oldest first."""
        alike = (self.nodes[id] for id in self._children.get(ask.node, ()))
        return [
            each.id
            for each in alike
            if each.author is Author.MACHINE and (each.at, each.removed) == (ask.at, ask.removed)
        ]

    def siblings(self, generation: int) -> list[int]:
        """All that the machine wrote at the same place of the same text, oldest first."""
        return self.answers(self.asked_by(generation))

    def waiting(self, ask: Ask) -> list[str]:
        """The jobs that were asked to write at a place and have not begun."""
        begun = {self.nodes[id].job for id in self.answers(ask)}
        return [job for job, one in self.asked.items() if one == ask and job not in begun]

    def generations(self) -> list[int]:
        """All that the machine ever wrote here, newest first."""
        return [id for id in sorted(self.nodes, reverse=True) if self._by_machine(id)]

    def furthest(self, node: int) -> int:
        """Where the page was left the last time it was on this branch."""
        while (next_ := self._left.get(node)) is not None:
            node = next_
        return node

    def search(self, words: str, limit: int = 200) -> list[Found]:
        """On all branches, each place once, without regard to case; the newest first."""
        found: list[Found] = []
        if not words:
            return found
        wanted = re.compile(re.escape(words), re.IGNORECASE)
        reach = len(words) - 1
        for id in sorted(self.nodes, reverse=True):
            node = self.nodes[id]
            text = self.text_at(id) if node.text else ""
            met = wanted.search(text, max(0, node.at - reach), node.at + len(node.text) + reach)
            if met is not None:
                at = met.start()
                before, after = max(0, at - 32), met.end() + 48
                found.append(Found(id, at, " ".join(text[before:after].split())))
            if len(found) >= limit:
                break
        return found

    # Changing it
    def write(
        self, at: int, removed: int, text: str, *, author: Author = Author.HUMAN, made: str = "", join: bool = True
    ) -> list[Move]:
        """Changes the text. Typing on, or deleting on, amends the change before it if `join`."""
        if join and author is Author.HUMAN and (amended := self._joined(at, removed, text)):
            return self._do(amended)
        node = Node(id=self._next(), parent=self.current, at=at, removed=removed, text=text, author=author, made=made)
        return self._do(Added(node), Went(node.id))

    def write_many(self, changes: Sequence[tuple[int, int, str]], made: str = "") -> list[Move]:
        """Several changes, ascending, in places of the text as it is now; one step for Undo."""
        moves: list[Move] = []
        parent = self.current
        for at, removed, text in sorted(changes, reverse=True):
            node = Node(id=self._next(), parent=parent, at=at, removed=removed, text=text, made=made)
            moves += self._do(Added(node))
            parent = node.id
        return moves + self._do(Went(parent)) if moves else []

    def branch(self, node: int, place: int, text: str, made: str = "") -> list[Move]:
        """What `node` wrote ends at `place` of the text with `text` instead; the page goes there.

        It is an alternative to `node` where all before `place` is as it was, else a change of the text as it is now.
        """
        one = self.nodes[node]
        offset = place - one.at
        if 0 <= offset <= len(one.text) and self.text[:place] == self.text_at(node)[:place]:
            new = replace(one, id=self._next(), text=one.text[:offset] + text, made=made, job="")
        else:
            gone = max(0, (self.end_of(node) or 0) - place)
            new = Node(
                id=self._next(),
                parent=self.current,
                at=place,
                removed=gone,
                text=text,
                author=Author.MACHINE,
                made=made,
            )
        self.seal()
        return self._do(Added(new), Went(new.id))

    def seal(self) -> None:
        """What is typed next is a step of its own."""
        self._sealed = self.current

    def ask(self, job: str, node: int, at: int, removed: int = 0) -> list[Move]:
        return self._do(Asked(job, node, at, removed))

    def answer(self, job: str, text: str, made: str = "") -> list[Move]:
        """What the machine has written so far, all of it.

        The page goes there if nothing else was written meanwhile; else it is a branch beside.
        """
        ask = self.asked.get(job)
        if ask is None:
            return []
        node = self.written_by(job)
        if node is not None and node.text == text:
            return []
        if node is not None and not self._children.get(node.id):
            return self._do(_amend(node, node.at, node.removed, text))
        new = Node(
            id=self._next(),
            parent=ask.node,
            at=ask.at,
            removed=ask.removed,
            text=text,
            author=Author.MACHINE,
            made=made,
            job=job,
        )
        moves = self._do(Added(new))
        return moves + self._do(Went(new.id)) if self.current == ask.node else moves

    def end(self, job: str, creation: str = "") -> list[Move]:
        return self._do(Answered(job, creation)) if job in self.asked else []

    def written_by(self, job: str) -> Node | None:
        """The newest node that a job wrote."""
        return next((self.nodes[id] for id in sorted(self.nodes, reverse=True) if self.nodes[id].job == job), None)

    def go(self, node: int) -> list[Move]:
        return [] if node == self.current else self._do(Went(node))

    @property
    def can_undo(self) -> bool:
        return self._place > 0

    @property
    def can_redo(self) -> bool:
        return self._place < len(self._trail) - 1

    def undo(self) -> list[Move]:
        return self._do(Undone()) if self.can_undo else []

    def redo(self) -> list[Move]:
        return self._do(Redone()) if self.can_redo else []

    # Pictures beside the words
    def anchor(self, start: int, words: str, seed: int, job: str) -> list[Move]:
        """The words stand at `start` of the text as it is now."""
        id = max(self.anchors, default=0) + 1
        self.seal()
        return self._do(Anchored(Anchor(id=id, node=self.current, start=start, words=words, seed=seed, job=job)))

    def set_anchor(self, anchor: Anchor) -> list[Move]:
        return self._do(Anchored(anchor))

    def unanchor(self, id: int) -> list[Move]:
        return self._do(Unanchored(id)) if id in self.anchors else []

    def place_of(self, anchor: Anchor) -> tuple[int, int] | None:
        """Where the words of an anchor are now, as start and end; None when nothing is left of them."""
        start, end = anchor.start, anchor.start + len(anchor.words)
        for change in self._between(anchor.node, self.current):
            start, end = change.moved(start, after=False), change.moved(end, after=True)
            if start >= end:
                return None
        return start, end

    def is_stale(self, anchor: Anchor) -> bool:
        """Whether the words have changed since they were painted."""
        place = self.place_of(anchor)
        return place is None or self.text[place[0] : place[1]] != anchor.words

    def _between(self, start: int, end: int) -> Iterator[_Change]:
        """What turns the text of one node into that of another: back to where they part, and on."""
        back, on = self.path(start), self.path(end)
        shared = 0
        while shared < min(len(back), len(on)) and back[shared] == on[shared]:
            shared += 1
        for id in reversed(back[shared:]):
            node = self.nodes[id]
            yield _Change(node.at, len(node.text), node.removed)
        for id in on[shared:]:
            node = self.nodes[id]
            yield _Change(node.at, node.removed, len(node.text))

    # Moves
    def apply(self, move: Move) -> bool:
        """Does what a stored move says; False for one that does not fit this page."""
        match move:
            case Added(node):
                if node.id in self.nodes or node.parent not in self.nodes:
                    return False
                self._put(node)
            case Amended(id, at, removed, keep, text):
                if id not in self.nodes or id == ROOT or self._children.get(id):
                    return False
                node = self.nodes[id]
                self.nodes[id] = replace(node, at=at, removed=removed, text=node.text[:keep] + text)
                self._pieces.pop(id, None)
                if self._texts[0] == id:
                    self._texts = (ROOT, "")
            case Went(to):
                if to not in self.nodes:
                    return False
                self._trail[self._place + 1 :] = [to]
                self._place += 1
                self._leave()
            case Undone() | Redone():
                place = self._place + (1 if isinstance(move, Redone) else -1)
                if not 0 <= place < len(self._trail):
                    return False
                self._place = place
                self._sealed = self.current
                self._leave()
            case Asked(job, at_node, at, removed):
                if at_node not in self.nodes:
                    return False
                self.asked[job] = Ask(at_node, at, removed)
            case Answered(job, creation):
                self.asked.pop(job, None)
                node_ = self.written_by(job)
                if node_ is not None and creation:
                    self.nodes[node_.id] = replace(node_, creation=creation)
            case Anchored(anchor):
                if anchor.node not in self.nodes:
                    return False
                self.anchors[anchor.id] = anchor
            case Unanchored(id):
                self.anchors.pop(id, None)
        return True

    def _do(self, *moves: Move) -> list[Move]:
        for move in moves:
            fitted = self.apply(move)
            assert fitted, move
        return list(moves)

    def _put(self, node: Node) -> None:
        if node.id == ROOT or node.parent not in self.nodes or node.id in self.nodes:
            return
        self.nodes[node.id] = node
        self._last = max(self._last, node.id)
        self._children.setdefault(node.parent, []).append(node.id)

    def _leave(self) -> None:
        """Remembers, all along the path, which way the page went last; it ends here."""
        node = self.current
        self._left.pop(node, None)
        while node != ROOT:
            parent = self.nodes[node].parent
            if self._left.get(parent) == node:
                break
            self._left[parent] = node
            node = parent

    def _next(self) -> int:
        return self._last + 1

    def _by_machine(self, node: int) -> bool:
        return node != ROOT and self.nodes[node].author is Author.MACHINE

    def _joined(self, at: int, removed: int, text: str) -> Amended | None:
        """The change as a part of the one before it, where both are one stroke of typing or deleting."""
        id = self.current
        node = self.nodes[id]
        fresh = self._place == len(self._trail) - 1 and id != self._sealed and not self._children.get(id)
        if id == ROOT or not fresh or node.author is not Author.HUMAN or any(one.node == id for one in self._waiting()):
            return None
        end = node.at + len(node.text)
        if at == end and not removed and not (node.text.endswith("\n") and text != "\n"):
            return _amend(node, node.at, node.removed, node.text + text)
        if not text and node.at <= at and at + removed == end and at > node.at:
            return _amend(node, node.at, node.removed, node.text[: at - node.at])
        if not text and not node.text and at + removed == node.at:
            return _amend(node, at, node.removed + removed, "")
        return None

    def _waiting(self) -> Iterator[Ask | Anchor]:
        yield from self.asked.values()
        yield from self.anchors.values()


@dataclass(frozen=True)
class _Change:
    at: int
    removed: int
    added: int

    def moved(self, place: int, *, after: bool) -> int:
        """`after`: the place ends something, so what is written exactly there does not belong to it."""
        if place < self.at or (place == self.at and (after or not self.removed + self.added)):
            return place
        if place >= self.at + self.removed:
            return place + self.added - self.removed
        return self.at + self.added if after else self.at


def _amend(node: Node, at: int, removed: int, text: str) -> Amended:
    keep = common_start(node.text, text)
    return Amended(node.id, at, removed, keep, text[keep:])


def _changed(pieces: tuple[Piece, ...], node: Node) -> tuple[Piece, ...]:
    """The pieces of a text after a node's change."""
    first, offset = _find(pieces, node.at)
    last, skipped = _find(pieces, node.at + node.removed)
    head = (Piece(pieces[first].node, pieces[first].start, offset),) if offset else ()
    new = (Piece(node.id, 0, len(node.text)),) if node.text else ()
    if not skipped:
        return pieces[:first] + head + new + pieces[last:]
    cut = pieces[last]
    return (
        pieces[:first] + head + new + (Piece(cut.node, cut.start + skipped, cut.length - skipped), *pieces[last + 1 :])
    )


def _find(pieces: tuple[Piece, ...], place: int) -> tuple[int, int]:
    """Which piece a place is in, and how far in it; one past the last for the end."""
    end = 0
    for number, piece in enumerate(pieces):
        start, end = end, end + piece.length
        if place < end:
            return number, place - start
    return len(pieces), 0
