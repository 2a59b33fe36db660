"""The history as a list model: the newest first, a hundred thousand of them as quick as a hundred."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from msgspec.structs import replace
from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, QTimer, Signal
from PySide6.QtGui import QImage

from studio.core.errors import StudioError
from studio.library.creation import Creation, CreationKind
from studio.state.library.lineage import Lineage, read_lineage
from studio.state.library.thumbnail_cache import ThumbnailCache
from studio.state.list_diff import Change, find_spans
from studio.state.tasks import Tasks

if TYPE_CHECKING:
    from studio.library.library import Library

T = TypeVar("T")
Index: TypeAlias = QModelIndex | QPersistentModelIndex
_NONE = QModelIndex()

FIRST = 120
"""Creations that a new search shows at once; the rest of the list follows."""
PAGE = 100
KEPT = 4_000
"""Rows that are remembered."""


class Search(NamedTuple):
    text: str = ""
    starred: bool = False
    trashed: bool = False


class HistoryModel(QAbstractListModel):
    """Ids are known for every row; creations and thumbnails are fetched when a row is looked at.

    Nothing here touches the disk on the UI thread. What the artist changes shows at once
    and is written behind; if that fails, `failed` says so and the list is read again.
    """

    CreationRole = int(Qt.ItemDataRole.UserRole)
    ThumbRole = CreationRole + 1

    failed = Signal(str)
    searched = Signal()
    """The whole answer to the last search stands."""
    changed = Signal(str)
    """A creation that is shown has another star, rating or tags: its id."""

    def __init__(self, library: Library, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._library = library
        self._reads = Tasks("history", threads=2, drop_pending=True, on_error=self._on_read_error, parent=self)
        self._writes = Tasks("history-writes", on_error=self._on_write_error, parent=self)
        self._thumbs = ThumbnailCache(library.load_thumbnail, self)
        self._thumbs.ready.connect(self._thumb_ready)
        self._ids: list[str] = []
        self._rows: OrderedDict[str, Creation] = OrderedDict()
        self._asked: set[str] = set()
        self._pages = QTimer(self, singleShot=True, interval=0)
        self._pages.timeout.connect(self._read_pages)
        self._wanted_pages: set[int] = set()
        self._search = Search()
        self._turn = 0
        self._standing = False

    def close(self) -> None:
        """Finishes what is being written; no thread is left."""
        self._reads.close()
        self._thumbs.close()
        self._writes.close()

    # As a model
    def rowCount(self, parent: Index = _NONE) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self._ids)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = index.row()
        if not index.isValid() or row >= len(self._ids):
            return None
        if role == self.ThumbRole:
            return self._thumbs.get(self._ids[row], row)
        if role == self.CreationRole:
            return self.creation(row)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            creation = self.creation(row)
            return "" if creation is None else describe(creation)
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        return super().flags(index) | Qt.ItemFlag.ItemIsDragEnabled

    # What it holds
    @property
    def query(self) -> Search:
        return self._search

    @property
    def standing(self) -> bool:
        """Whether the answer to the last search is all there."""
        return self._standing

    def id_at(self, row: int) -> str:
        return self._ids[row]

    def row_of(self, creation: str, near: int = -1) -> int:
        """The row of an id, or -1. `near` is where it was."""
        if 0 <= near < len(self._ids) and self._ids[near] == creation:
            return near
        try:
            return self._ids.index(creation)
        except ValueError:
            return -1

    def creation(self, row: int) -> Creation | None:
        """The creation of a row if it is known by now; otherwise it is being read."""
        found = self.known(self._ids[row])
        if found is None and self._ids[row] not in self._asked:
            self._wanted_pages.add(row // PAGE)
            self._pages.start()
        return found

    def known(self, creation: str) -> Creation | None:
        found = self._rows.get(creation)
        if found is not None:
            self._rows.move_to_end(creation)
        return found

    def thumbnail(self, creation: str) -> QImage | None:
        """As `ThumbRole`, for creations that need not be in the list; `thumbnail_ready` follows."""
        return self._thumbs.get(creation)

    def set_thumbnail_side(self, pixels: int) -> None:
        """How large thumbnails will be drawn, in device pixels."""
        self._thumbs.set_side(pixels)

    @property
    def thumbnail_ready(self) -> Any:
        """A signal with the creation's id and a row, or -1."""
        return self._thumbs.ready

    # Searching
    def search(self, text: str = "", starred: bool = False, trashed: bool = False) -> None:
        """Shows what matches. A search while another is on its way takes its place."""
        self._search = Search(text, starred, trashed)
        self._turn += 1
        self._standing = False
        turn, query = self._turn, self._search

        def first() -> list[Creation] | None:
            # Fast typing leaves searches behind that nobody waits for.
            if turn != self._turn:
                return None
            return self._library.search(query.text, starred=query.starred, trashed=query.trashed, limit=FIRST)

        self._reads.run(first, lambda found: self._first_came(turn, found))

    def refresh(self) -> None:
        """Reads the list again; what did not change stays where it is."""
        self._turn += 1
        self._asked.clear()
        self._read_ids(self._turn)

    def insert(self, creation: Creation) -> None:
        """A creation was made or taken in. It comes first if it belongs in what is shown."""
        self._remember([creation])
        if self._search != Search() or not self._standing:
            self.refresh()
            return
        newest = self.known(self._ids[0]) if self._ids else None
        is_newest = not self._ids or (newest is not None and newest.created < creation.created)
        if is_newest:
            self.beginInsertRows(QModelIndex(), 0, 0)
            self._ids = [creation.id, *self._ids]
            self.endInsertRows()
        elif (row := self.row_of(creation.id)) >= 0:
            self._row_changed(row)
        else:
            self.refresh()

    def _first_came(self, turn: int, found: list[Creation] | None) -> None:
        if turn != self._turn or found is None:
            return
        self._remember(found)
        self._asked.clear()
        self.beginResetModel()
        self._ids = [creation.id for creation in found]
        self.endResetModel()
        if len(found) < FIRST:
            self._stands()
        else:
            self._read_ids(turn)

    def _read_ids(self, turn: int) -> None:
        query, shown = self._search, self._ids

        def read() -> Change | None:
            if turn != self._turn:
                return None
            ids = self._library.find_ids(query.text, starred=query.starred, trashed=query.trashed)
            return Change.between(shown, ids)

        self._reads.run(read, lambda change: self._ids_came(turn, change))

    def _ids_came(self, turn: int, change: Change | None) -> None:
        if turn != self._turn or change is None:
            return
        if change.old is not self._ids:
            change = Change.between(self._ids, change.new)
        self._become(change)
        self._stands()

    def _stands(self) -> None:
        self._standing = True
        self.searched.emit()

    def _become(self, change: Change) -> None:
        """Changes the rows between the first and the last that differ."""
        old, new, head, tail = change
        if gone := len(old) - head - tail:
            self.beginRemoveRows(QModelIndex(), head, head + gone - 1)
            self._ids = old[:head] + old[head + gone :]
            self.endRemoveRows()
        if come := len(new) - head - tail:
            self.beginInsertRows(QModelIndex(), head, head + come - 1)
            self._ids = new
            self.endInsertRows()

    # Reading rows
    def _read_pages(self) -> None:
        pages, self._wanted_pages = sorted(self._wanted_pages), set()
        for page in pages:
            start = page * PAGE
            ids = [one for one in self._ids[start : start + PAGE] if one not in self._rows]
            self._asked.update(ids)
            self._reads.run(
                lambda ids=ids: self._library.get_many(ids),  # type: ignore[misc]
                lambda found, start=start: self._rows_came(start, found),  # type: ignore[misc]
            )

    def _rows_came(self, start: int, found: list[Creation]) -> None:
        self._remember(found)
        self._asked.difference_update(creation.id for creation in found)
        last = min(start + PAGE, len(self._ids)) - 1
        if found and last >= start:
            self.dataChanged.emit(self.index(start), self.index(last))

    def _remember(self, creations: Iterable[Creation]) -> None:
        for creation in creations:
            self._rows[creation.id] = creation
            self._rows.move_to_end(creation.id)
        while len(self._rows) > KEPT:
            self._rows.popitem(last=False)

    def _thumb_ready(self, creation: str, near: int) -> None:
        if (row := self.row_of(creation, near)) >= 0:
            self._row_changed(row)

    def _row_changed(self, row: int) -> None:
        self.dataChanged.emit(self.index(row), self.index(row))

    # Changing creations
    def star(self, ids: Iterable[str], on: bool) -> None:
        self._edit(ids, lambda creation: replace(creation, star=on), lambda one: self._library.star(one, on))

    def rate(self, ids: Iterable[str], rating: int) -> None:
        """`rating` is 0 to 5 stars; 0 takes it back."""
        self._edit(ids, lambda creation: replace(creation, rating=rating), lambda one: self._library.rate(one, rating))

    def tag(self, ids: Iterable[str], tags: Sequence[str]) -> None:
        self._edit(
            ids, lambda creation: replace(creation, tags=tuple(tags)), lambda one: self._library.tag(one, tuple(tags))
        )

    def trash(self, ids: Sequence[str]) -> None:
        self._move(ids, lambda: self._library.trash(ids))

    def restore(self, ids: Sequence[str]) -> None:
        self._move(ids, lambda: self._library.restore(ids))

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes for ever what is in the trash."""

        def delete() -> None:
            if left := len(ids) - len(self._library.delete(ids)):
                raise StudioError(
                    f"{left} of {len(ids)} could not be deleted.", "Check the permissions of the library folder."
                )

        self._move(ids, delete)

    def empty_trash(self) -> None:
        """Deletes for ever what is in the trash."""
        self._move(list(self._ids) if self._search.trashed else [], self._library.empty_trash)

    def _edit(self, ids: Iterable[str], shown: Callable[[Creation], Creation], write: Callable[[str], object]) -> None:
        for one in ids:
            if (creation := self.known(one)) is not None:
                self._remember([shown(creation)])
            if (row := self.row_of(one)) >= 0:
                self._row_changed(row)
            self._writes.run(lambda one=one: write(one))  # type: ignore[misc]
            self.changed.emit(one)

    def _move(self, ids: Sequence[str], write: Callable[[], object]) -> None:
        """These leave what is shown, at once; the rest is read when it is done."""
        rows = sorted((row for row in map(self.row_of, ids) if row >= 0), reverse=True)
        for row in rows:
            self._rows.pop(self._ids[row], None)
        for first, last in find_spans(rows):
            self.beginRemoveRows(QModelIndex(), first, last)
            self._ids = self._ids[:first] + self._ids[last + 1 :]
            self.endRemoveRows()
        self._turn += 1
        self._writes.run(write, lambda _: self.refresh())

    # Looking further
    def lineage(self, creation: str, then: Callable[[Lineage], None]) -> None:
        """Reads where a creation came from and what was made from it."""
        self._reads.run(lambda: read_lineage(self._library, creation), then)

    def before(self, creation: str, then: Callable[[Creation | None], None]) -> None:
        """Reads the picture that a creation was made from, for comparing; None if there is none."""

        def read() -> Creation | None:
            parents = self._library.find_parents(creation)
            return next((one for one in parents if one.kind is CreationKind.IMAGE and not one.missing), None)

        self._reads.run(read, then)

    def export(self, creation: str, to: Path, then: Callable[[Path], None]) -> None:
        self._writes.run(lambda: self._library.export(creation, to), then)

    def _on_read_error(self, error: BaseException) -> None:
        if not isinstance(error, StudioError):
            raise error
        self.failed.emit(str(error))

    def _on_write_error(self, error: BaseException) -> None:
        self._rows.clear()
        self.refresh()
        if not isinstance(error, StudioError):
            raise error
        self.failed.emit(str(error))


def describe(creation: Creation) -> str:
    """One line for a screen reader."""
    said = [creation.title or creation.kind.value, creation.kind.value]
    if creation.star:
        said.append("starred")
    if creation.missing:
        said.append("file missing")
    return ", ".join(said)
