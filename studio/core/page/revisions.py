"""A page of text as a tree of revisions. No text that was ever on the page is lost.

Each node is one change of its parent's text: inserted text replaces some characters at one position. The text
of a node results from all changes between the root and the node. A page can therefore be edited anywhere, and
earlier texts stay in the tree. A regenerated continuation is a sibling of the first one.

Every change is an edit (`AddNode`, `AmendNode`, `GoTo` …). Applying a journal of edits restores the page.
Positions and lengths count Unicode code points.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from msgspec.structs import replace

from studio.core.page.edits import (
    ROOT,
    AddNode,
    AmendNode,
    Anchor,
    Author,
    Edit,
    FinishRequest,
    GoTo,
    InsertionPoint,
    Node,
    Redo,
    RemoveAnchor,
    RequestText,
    SetAnchor,
    StoredPage,
    Undo,
)
from studio.core.page.plain_text import common_prefix_length

_CACHE_INTERVAL = 32
"""Number of nodes between cached ones on a long path."""
_MAX_CACHED = 4096


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a node's own text: `length` characters from `start`."""

    node: int
    start: int
    length: int


@dataclass(frozen=True)
class AuthorRun:
    """Consecutive text by one author."""

    text: str
    author: Author


@dataclass(frozen=True)
class SearchHit:
    """A match of a search at `at` in the text of `node`, with the words around it."""

    node: int
    at: int
    around: str


class RevisionTree:
    """A page. Every method that changes it returns the edits to store."""

    def __init__(self, stored: StoredPage | None = None) -> None:
        stored = stored or StoredPage()
        self.nodes: dict[int, Node] = {ROOT: Node(id=ROOT)}
        self._children: dict[int, list[int]] = {}
        self._max_id = ROOT
        for node in stored.nodes:
            self._insert_node(node)
        self._trail = [id for id in stored.trail if id in self.nodes] or [ROOT]
        self._trail_position = max(0, min(stored.place, len(self._trail) - 1))
        self._last_child = {a: b for a, b in stored.left.items() if a in self.nodes and b in self.nodes}
        self.requests = {job: point for job, point in stored.asked.items() if point.node in self.nodes}
        self.anchors = {anchor.id: anchor for anchor in stored.anchors if anchor.node in self.nodes}
        self._piece_cache: dict[int, tuple[Piece, ...]] = {ROOT: ()}
        self._text_cache: tuple[int, str] = (ROOT, "")
        self._step_end = self.current
        """Node that typing no longer amends, so that the next change is a new step for Undo."""

    def to_stored(self) -> StoredPage:
        """Return the page as a snapshot stores it."""
        return StoredPage(
            nodes=[node for id, node in self.nodes.items() if id != ROOT],
            trail=list(self._trail),
            place=self._trail_position,
            left=dict(self._last_child),
            asked=dict(self.requests),
            anchors=list(self.anchors.values()),
        )

    # Text
    @property
    def current(self) -> int:
        return self._trail[self._trail_position]

    @property
    def text(self) -> str:
        return self.text_of(self.current)

    def text_of(self, node: int) -> str:
        """Return the text of a node."""
        cached, text = self._text_cache
        if cached == node:
            return text
        change = self.nodes[node]
        if cached == change.parent and node != ROOT:
            text = text[: change.at] + change.text + text[change.at + change.removed :]
        else:
            text = "".join(map(self._piece_text, self.get_pieces(node)))
        self._text_cache = (node, text)
        return text

    def _piece_text(self, piece: Piece) -> str:
        return self.nodes[piece.node].text[piece.start : piece.start + piece.length]

    def get_runs(self, node: int | None = None) -> list[AuthorRun]:
        """Split the text of a node, by default the current one, into runs by author."""
        return self._runs(self.get_pieces(self.current if node is None else node))

    def get_passage_runs(self, node: int) -> list[AuthorRun]:
        """Return a node's text as its branch has it now, with insertions. Empty if all of it was deleted."""
        pieces = self.get_pieces(self.find_leaf(node))
        own = [number for number, piece in enumerate(pieces) if piece.node == node]
        return self._runs(pieces[own[0] : own[-1] + 1]) if own else []

    def _runs(self, pieces: Sequence[Piece]) -> list[AuthorRun]:
        grouped = groupby(pieces, lambda piece: self.nodes[piece.node].author)
        return [AuthorRun("".join(map(self._piece_text, group)), author) for author, group in grouped]

    def find_node(self, position: int, node: int | None = None) -> int:
        """Return the node that wrote the character before `position`, or the root at the beginning."""
        end = 0
        for piece in self.get_pieces(self.current if node is None else node):
            end += piece.length
            if 0 < position <= end:
                return piece.node
        return ROOT

    def find_origin(self, position: int) -> tuple[int, int] | None:
        """Return the node that wrote the character after `position` and its index in that node. None at the end."""
        pieces = self.get_pieces(self.current)
        number, offset = _find_piece(pieces, position)
        return (pieces[number].node, pieces[number].start + offset) if number < len(pieces) else None

    def end_of(self, node: int) -> int | None:
        """Return the end of a node's last character in the current text. None if none is left."""
        position, end = 0, None
        for piece in self.get_pieces(self.current):
            position += piece.length
            if piece.node == node:
                end = position
        return end

    def get_pieces(self, node: int) -> tuple[Piece, ...]:
        """Return the pieces of a node's text, built from its nearest cached ancestor."""
        path = []
        ancestor = node
        while ancestor not in self._piece_cache:
            path.append(ancestor)
            ancestor = self.nodes[ancestor].parent
        pieces = self._piece_cache[ancestor]
        if not path:
            return pieces
        if len(self._piece_cache) > _MAX_CACHED:
            self._piece_cache = {ROOT: (), ancestor: pieces}
        changed = _PieceList(pieces)
        for count, id in enumerate(reversed(path)):
            changed.apply(self.nodes[id])
            if count % _CACHE_INTERVAL == 0 or count >= len(path) - 2:
                self._piece_cache[id] = tuple(changed.pieces)
        return self._piece_cache[node]

    # The tree
    def path_to(self, node: int) -> list[int]:
        """Return the nodes from the root's child to `node`."""
        path = []
        while node != ROOT:
            path.append(node)
            node = self.nodes[node].parent
        return path[::-1]

    def children_of(self, node: int) -> Sequence[int]:
        """Return the children of a node, oldest first."""
        return tuple(self._children.get(node, ()))

    def find_generation(self, position: int | None = None) -> int | None:
        """Return the generated node before `position`, else the last one on the path. None if there is none."""
        if position is not None and self._is_by_machine(before := self.find_node(position)):
            return before
        node = self.current
        while node != ROOT and not self._is_by_machine(node):
            node = self.nodes[node].parent
        return None if node == ROOT else node

    def insertion_point_of(self, generation: int) -> InsertionPoint:
        """Return the insertion point of a generated node."""
        node = self.nodes[generation]
        return InsertionPoint(node.parent, node.at, node.removed)

    def find_generations(self, point: InsertionPoint) -> list[int]:
        """Return the generated nodes at an insertion point, oldest first."""
        children = (self.nodes[id] for id in self._children.get(point.node, ()))
        return [
            node.id
            for node in children
            if node.author is Author.MACHINE and (node.at, node.removed) == (point.at, point.removed)
        ]

    def siblings_of(self, generation: int) -> list[int]:
        """Return the alternatives to a generated node, itself included, oldest first."""
        return self.find_generations(self.insertion_point_of(generation))

    def find_waiting_jobs(self, point: InsertionPoint) -> list[str]:
        """Return the jobs that will write at an insertion point and have not begun."""
        begun = {self.nodes[id].job for id in self.find_generations(point)}
        return [job for job, requested in self.requests.items() if requested == point and job not in begun]

    def list_generations(self) -> list[int]:
        """Return all generated nodes of the page, newest first."""
        return [id for id in sorted(self.nodes, reverse=True) if self._is_by_machine(id)]

    def find_leaf(self, node: int) -> int:
        """Return the node at which the page was when it last left this branch."""
        while (next_ := self._last_child.get(node)) is not None:
            node = next_
        return node

    def search(self, words: str, limit: int = 200) -> list[SearchHit]:
        """Search all branches, ignoring case. Returns each position once, newest first."""
        hits: list[SearchHit] = []
        if not words:
            return hits
        pattern = re.compile(re.escape(words), re.IGNORECASE)
        margin = len(words) - 1
        for id in sorted(self.nodes):  # upwards, because a text follows quickly from that of its parent
            node = self.nodes[id]
            text = self.text_of(id) if node.text else ""
            match = pattern.search(text, max(0, node.at - margin), node.at + len(node.text) + margin)
            if match is not None:
                at = match.start()
                before, after = max(0, at - 32), match.end() + 48
                hits.append(SearchHit(id, at, " ".join(text[before:after].split())))
        return hits[::-1][:limit]

    # Changes
    def write(
        self, at: int, removed: int, text: str, *, author: Author = Author.HUMAN, created: str = "", join: bool = True
    ) -> list[Edit]:
        """Replace `removed` characters at `at`. If `join`, continued typing or deleting amends the last change."""
        if join and author is Author.HUMAN and (amended := self._merge_with_last(at, removed, text)):
            return self._apply_all(amended)
        node = Node(
            id=self._next_id(), parent=self.current, at=at, removed=removed, text=text, author=author, created=created
        )
        return self._apply_all(AddNode(node), GoTo(node.id))

    def write_many(self, changes: Sequence[tuple[int, int, str]], created: str = "") -> list[Edit]:
        """Make several changes as one step for Undo. Positions refer to the current text."""
        edits: list[Edit] = []
        parent = self.current
        for at, removed, text in sorted(changes, reverse=True):
            node = Node(id=self._next_id(), parent=parent, at=at, removed=removed, text=text, created=created)
            edits += self._apply_all(AddNode(node))
            parent = node.id
        return edits + self._apply_all(GoTo(parent)) if edits else []

    def add_branch(self, node: int, position: int, text: str, created: str = "") -> list[Edit]:
        """Replace the rest of a node's text after `position` with `text`, and go there.

        Adds an alternative to `node` if nothing before `position` has changed, else a change of the current text.
        """
        original = self.nodes[node]
        offset = position - original.at
        if 0 <= offset <= len(original.text) and self.text[:position] == self.text_of(node)[:position]:
            new = replace(original, id=self._next_id(), text=original.text[:offset] + text, created=created, job="")
        else:
            removed = max(0, (self.end_of(node) or 0) - position)
            new = Node(
                id=self._next_id(),
                parent=self.current,
                at=position,
                removed=removed,
                text=text,
                author=Author.MACHINE,
                created=created,
            )
        self.end_step()
        return self._apply_all(AddNode(new), GoTo(new.id))

    def end_step(self) -> None:
        """End the current step, so that the next typing is a new step for Undo."""
        self._step_end = self.current

    def request_text(self, job: str, node: int, at: int, removed: int = 0) -> list[Edit]:
        """Note that a job will replace `removed` characters at `at` in a node's text."""
        return self._apply_all(RequestText(job, node, at, removed))

    def set_generated_text(self, job: str, text: str, created: str = "") -> list[Edit]:
        """Set all text that a job has generated so far.

        The page goes to the new node unless something else was written meanwhile; then it becomes another branch.
        """
        point = self.requests.get(job)
        if point is None:
            return []
        node = self.find_node_of_job(job)
        if node is not None and node.text == text:
            return []
        if node is not None and not self._children.get(node.id):
            return self._apply_all(_build_amendment(node, node.at, node.removed, text))
        new = Node(
            id=self._next_id(),
            parent=point.node,
            at=point.at,
            removed=point.removed,
            text=text,
            author=Author.MACHINE,
            created=created,
            job=job,
        )
        edits = self._apply_all(AddNode(new))
        return edits + self._apply_all(GoTo(new.id)) if self.current == point.node else edits

    def finish_request(self, job: str, creation: str = "") -> list[Edit]:
        return self._apply_all(FinishRequest(job, creation)) if job in self.requests else []

    def find_node_of_job(self, job: str) -> Node | None:
        """Return the newest node that a job wrote, or None."""
        return next((self.nodes[id] for id in sorted(self.nodes, reverse=True) if self.nodes[id].job == job), None)

    def go_to(self, node: int) -> list[Edit]:
        return [] if node == self.current else self._apply_all(GoTo(node))

    @property
    def can_undo(self) -> bool:
        return self._trail_position > 0

    @property
    def can_redo(self) -> bool:
        return self._trail_position < len(self._trail) - 1

    def undo(self) -> list[Edit]:
        return self._apply_all(Undo()) if self.can_undo else []

    def redo(self) -> list[Edit]:
        return self._apply_all(Redo()) if self.can_redo else []

    # Illustrations
    def add_anchor(self, start: int, words: str, seed: int, job: str) -> list[Edit]:
        """Add an anchor for an illustration of the words at `start` of the current text."""
        id = max(self.anchors, default=0) + 1
        self.end_step()
        return self._apply_all(
            SetAnchor(Anchor(id=id, node=self.current, start=start, words=words, seed=seed, job=job))
        )

    def set_anchor(self, anchor: Anchor) -> list[Edit]:
        return self._apply_all(SetAnchor(anchor))

    def remove_anchor(self, id: int) -> list[Edit]:
        return self._apply_all(RemoveAnchor(id)) if id in self.anchors else []

    def position_of(self, anchor: Anchor) -> tuple[int, int] | None:
        """Return start and end of an anchor's words in the current text. None if they were deleted."""
        start, end = anchor.start, anchor.start + len(anchor.words)
        for change in self._changes_between(anchor.node, self.current):
            start, end = change.shift_position(start, is_end=False), change.shift_position(end, is_end=True)
            if start >= end:
                return None
        return start, end

    def is_stale(self, anchor: Anchor) -> bool:
        """Check whether the words have changed since they were illustrated."""
        position = self.position_of(anchor)
        return position is None or self.text[position[0] : position[1]] != anchor.words

    def _changes_between(self, start: int, end: int) -> Iterator[_Change]:
        """Yield the changes from the text of one node to that of another, through their common ancestor."""
        back, forward = self.path_to(start), self.path_to(end)
        shared = 0
        while shared < min(len(back), len(forward)) and back[shared] == forward[shared]:
            shared += 1
        for id in reversed(back[shared:]):
            node = self.nodes[id]
            yield _Change(node.at, len(node.text), node.removed)
        for id in forward[shared:]:
            node = self.nodes[id]
            yield _Change(node.at, node.removed, len(node.text))

    # Edits
    def apply(self, edit: Edit) -> bool:
        """Apply a stored edit. Return False if it does not fit this page."""
        match edit:
            case AddNode(node):
                if node.id in self.nodes or node.parent not in self.nodes:
                    return False
                self._insert_node(node)
            case AmendNode(id, at, removed, keep, text):
                if id not in self.nodes or id == ROOT or self._children.get(id):
                    return False
                node = self.nodes[id]
                self.nodes[id] = replace(node, at=at, removed=removed, text=node.text[:keep] + text)
                self._piece_cache.pop(id, None)
                if self._text_cache[0] == id:
                    self._text_cache = (ROOT, "")
            case GoTo(to):
                if to not in self.nodes:
                    return False
                self._trail[self._trail_position + 1 :] = [to]
                self._trail_position += 1
                self._remember_branch()
            case Undo() | Redo():
                position = self._trail_position + (1 if isinstance(edit, Redo) else -1)
                if not 0 <= position < len(self._trail):
                    return False
                self._trail_position = position
                self._step_end = self.current
                self._remember_branch()
            case RequestText(job, at_node, at, removed):
                if at_node not in self.nodes:
                    return False
                self.requests[job] = InsertionPoint(at_node, at, removed)
            case FinishRequest(job, creation):
                self.requests.pop(job, None)
                written = self.find_node_of_job(job)
                if written is not None and creation:
                    self.nodes[written.id] = replace(written, creation=creation)
            case SetAnchor(anchor):
                if anchor.node not in self.nodes:
                    return False
                self.anchors[anchor.id] = anchor
            case RemoveAnchor(id):
                self.anchors.pop(id, None)
        return True

    def _apply_all(self, *edits: Edit) -> list[Edit]:
        for edit in edits:
            is_applied = self.apply(edit)
            assert is_applied, edit
        return list(edits)

    def _insert_node(self, node: Node) -> None:
        if node.id == ROOT or node.parent not in self.nodes or node.id in self.nodes:
            return
        self.nodes[node.id] = node
        self._max_id = max(self._max_id, node.id)
        self._children.setdefault(node.parent, []).append(node.id)

    def _remember_branch(self) -> None:
        """Record the current path as the last visited branch of each of its nodes."""
        node = self.current
        self._last_child.pop(node, None)
        while node != ROOT:
            parent = self.nodes[node].parent
            if self._last_child.get(parent) == node:
                break
            self._last_child[parent] = node
            node = parent

    def _next_id(self) -> int:
        return self._max_id + 1

    def _is_by_machine(self, node: int) -> bool:
        return node != ROOT and self.nodes[node].author is Author.MACHINE

    def _merge_with_last(self, at: int, removed: int, text: str) -> AmendNode | None:
        """Merge a change with the last one if both are continued typing or deleting. Return None otherwise."""
        id = self.current
        node = self.nodes[id]
        is_last_step = (
            self._trail_position == len(self._trail) - 1 and id != self._step_end and not self._children.get(id)
        )
        if (
            id == ROOT
            or not is_last_step
            or node.author is not Author.HUMAN
            or any(item.node == id for item in self._references())
        ):
            return None
        end = node.at + len(node.text)
        if at == end and not removed and not (node.text.endswith("\n") and text != "\n"):
            return _build_amendment(node, node.at, node.removed, node.text + text)
        if not text and node.at <= at and at + removed == end and at > node.at:
            return _build_amendment(node, node.at, node.removed, node.text[: at - node.at])
        if not text and not node.text and at + removed == node.at:
            return _build_amendment(node, at, node.removed + removed, "")
        return None

    def _references(self) -> Iterator[InsertionPoint | Anchor]:
        yield from self.requests.values()
        yield from self.anchors.values()


@dataclass(frozen=True)
class _Change:
    at: int
    removed: int
    added: int

    def shift_position(self, position: int, *, is_end: bool) -> int:
        """Move a position with the change. Text inserted exactly at the end of a range does not belong to it."""
        if position < self.at or (position == self.at and (is_end or not self.removed + self.added)):
            return position
        if position >= self.at + self.removed:
            return position + self.added - self.removed
        return self.at + self.added if is_end else self.at


def _build_amendment(node: Node, at: int, removed: int, text: str) -> AmendNode:
    keep = common_prefix_length(node.text, text)
    return AmendNode(node.id, at, removed, keep, text[keep:])


class _PieceList:
    """Pieces of a text, to which changes are applied one after the other."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = list(pieces)
        self._lengths = [piece.length for piece in pieces]

    def apply(self, node: Node) -> None:
        """Apply a node's change."""
        ends = list(accumulate(self._lengths))
        first, offset = self._find(ends, node.at)
        last, skipped = self._find(ends, node.at + node.removed)
        new = []
        if offset:
            new.append(Piece(self.pieces[first].node, self.pieces[first].start, offset))
        if node.text:
            new.append(Piece(node.id, 0, len(node.text)))
        if skipped:
            rest = self.pieces[last]
            new.append(Piece(rest.node, rest.start + skipped, rest.length - skipped))
            last += 1
        self.pieces[first:last] = new
        self._lengths[first:last] = [piece.length for piece in new]

    @staticmethod
    def _find(ends: Sequence[int], position: int) -> tuple[int, int]:
        number = bisect_right(ends, position)
        if number == len(ends):
            return number, 0
        return number, position - (ends[number - 1] if number else 0)


def _find_piece(pieces: tuple[Piece, ...], position: int) -> tuple[int, int]:
    """Return the index of the piece at a position, and the offset in it. The end is one past the last piece."""
    end = 0
    for number, piece in enumerate(pieces):
        start, end = end, end + piece.length
        if position < end:
            return number, position - start
    return len(pieces), 0
