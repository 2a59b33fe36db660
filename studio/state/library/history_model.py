"""The history as a list model, the newest first, for a hundred thousand creations and more."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from msgspec.structs import replace
from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, QTimer, Signal
from PySide6.QtGui import QImage

from studio.core.errors import StudioError
from studio.core.export_include import Include
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

FIRST_ROWS = 120
"""Creations that a new search shows at once; the rest of the list follows."""
PAGE_SIZE = 100
MAX_CACHED = 4_000
"""Creations that are kept in memory."""


class Search(NamedTuple):
    text: str = ""
    starred: bool = False
    trashed: bool = False


class HistoryModel(QAbstractListModel):
    """The ids of all rows are in memory; creations and thumbnails are read when a row is shown.

    Nothing here touches the disk on the UI thread. Changes by the artist are shown at once
    and written later; if that fails, `failed` says so and the list is read again.
    """

    CreationRole = int(Qt.ItemDataRole.UserRole)
    ThumbnailRole = CreationRole + 1

    failed = Signal(str)
    searched = Signal()
    """The list has all results of the last search."""
    changed = Signal(str)
    """The id of a listed creation that has another name, star, rating or tags."""
    renamed = Signal(Creation)
    """A trained model that has another name."""

    def __init__(self, library: Library, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._library = library
        self._reads = Tasks("history", threads=2, drop_pending=True, on_error=self._on_read_error, parent=self)
        self._writes = Tasks("history-writes", on_error=self._on_write_error, parent=self)
        self._thumbnails = ThumbnailCache(library.load_thumbnail, self)
        self._thumbnails.ready.connect(self._on_thumbnail)
        self._ids: list[str] = []
        self._rows: OrderedDict[str, Creation] = OrderedDict()
        self._requested: set[str] = set()
        self._page_timer = QTimer(self, singleShot=True, interval=0)
        self._page_timer.timeout.connect(self._read_pages)
        self._wanted_pages: set[int] = set()
        self._search = Search()
        self._request_number = 0
        self._is_complete = False

    def close(self) -> None:
        """Finish what is being written, and end all threads."""
        self._reads.close()
        self._thumbnails.close()
        self._writes.close()

    # As a model
    def rowCount(self, parent: Index = _NONE) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self._ids)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = index.row()
        if not index.isValid() or row >= len(self._ids):
            return None
        if role == self.ThumbnailRole:
            return self._thumbnails.get(self._ids[row], row)
        if role == self.CreationRole:
            return self.creation(row)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            creation = self.creation(row)
            return "" if creation is None else describe(creation)
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        return super().flags(index) | Qt.ItemFlag.ItemIsDragEnabled

    # The list
    @property
    def query(self) -> Search:
        return self._search

    @property
    def is_complete(self) -> bool:
        """Whether the list has all results of the last search."""
        return self._is_complete

    def id_at(self, row: int) -> str:
        return self._ids[row]

    def row_of(self, creation: str, near: int = -1) -> int:
        """Return the row of an id, or -1. `near` is where it was."""
        if 0 <= near < len(self._ids) and self._ids[near] == creation:
            return near
        try:
            return self._ids.index(creation)
        except ValueError:
            return -1

    def creation(self, row: int) -> Creation | None:
        """Return the creation of a row; None while it is being read."""
        creation = self.get_cached(self._ids[row])
        if creation is None and self._ids[row] not in self._requested:
            self._wanted_pages.add(row // PAGE_SIZE)
            self._page_timer.start()
        return creation

    def get_cached(self, id: str) -> Creation | None:
        creation = self._rows.get(id)
        if creation is not None:
            self._rows.move_to_end(id)
        return creation

    def get_thumbnail(self, creation: str) -> QImage | None:
        """Return a thumbnail as `ThumbnailRole` does, also for creations that are not in the list."""
        return self._thumbnails.get(creation)

    def set_thumbnail_side(self, pixels: int) -> None:
        """Set the side at which thumbnails are drawn, in device pixels."""
        self._thumbnails.set_side(pixels)

    @property
    def thumbnail_ready(self) -> Any:
        """Signal with the id of a creation and its row, or -1."""
        return self._thumbnails.ready

    # Searching
    def search(self, text: str = "", starred: bool = False, trashed: bool = False) -> None:
        """Show what matches. A new search replaces one that is still running."""
        self._search = Search(text, starred, trashed)
        self._request_number += 1
        self._is_complete = False
        number, query = self._request_number, self._search

        def read_first() -> list[Creation] | None:
            # Fast typing leaves searches behind whose results nobody needs.
            if number != self._request_number:
                return None
            return self._library.search(query.text, starred=query.starred, trashed=query.trashed, limit=FIRST_ROWS)

        self._reads.run(read_first, lambda found: self._on_first_rows(number, found))

    def refresh(self) -> None:
        """Read the list again; rows that did not change stay."""
        self._request_number += 1
        self._requested.clear()
        self._read_ids(self._request_number)

    def insert(self, creation: Creation) -> None:
        """Add a new creation. It comes first if it matches the search."""
        self._cache([creation])
        if self._search != Search() or not self._is_complete:
            self.refresh()
            return
        newest = self.get_cached(self._ids[0]) if self._ids else None
        is_newest = not self._ids or (newest is not None and newest.created < creation.created)
        if is_newest:
            self.beginInsertRows(QModelIndex(), 0, 0)
            self._ids = [creation.id, *self._ids]
            self.endInsertRows()
        elif (row := self.row_of(creation.id)) >= 0:
            self._emit_row_changed(row)
        else:
            self.refresh()

    def _on_first_rows(self, number: int, found: list[Creation] | None) -> None:
        if number != self._request_number or found is None:
            return
        self._cache(found)
        self._requested.clear()
        self.beginResetModel()
        self._ids = [creation.id for creation in found]
        self.endResetModel()
        if len(found) < FIRST_ROWS:
            self._finish_search()
        else:
            self._read_ids(number)

    def _read_ids(self, number: int) -> None:
        query, shown = self._search, self._ids

        def read() -> Change | None:
            if number != self._request_number:
                return None
            ids = self._library.find_ids(query.text, starred=query.starred, trashed=query.trashed)
            return Change.between(shown, ids)

        self._reads.run(read, lambda change: self._on_ids(number, change))

    def _on_ids(self, number: int, change: Change | None) -> None:
        if number != self._request_number or change is None:
            return
        if change.old is not self._ids:
            change = Change.between(self._ids, change.new)
        self._apply_change(change)
        self._finish_search()

    def _finish_search(self) -> None:
        self._is_complete = True
        self.searched.emit()

    def _apply_change(self, change: Change) -> None:
        """Change the rows between the first and the last that differ."""
        old, new, head, tail = change
        if removed := len(old) - head - tail:
            self.beginRemoveRows(QModelIndex(), head, head + removed - 1)
            self._ids = old[:head] + old[head + removed :]
            self.endRemoveRows()
        if added := len(new) - head - tail:
            self.beginInsertRows(QModelIndex(), head, head + added - 1)
            self._ids = new
            self.endInsertRows()

    # Reading rows
    def _read_pages(self) -> None:
        pages, self._wanted_pages = sorted(self._wanted_pages), set()
        for page in pages:
            start = page * PAGE_SIZE
            ids = [id for id in self._ids[start : start + PAGE_SIZE] if id not in self._rows]
            self._requested.update(ids)
            self._reads.run(
                lambda ids=ids: self._library.get_many(ids),  # type: ignore[misc]
                lambda found, start=start: self._on_rows(start, found),  # type: ignore[misc]
            )

    def _on_rows(self, start: int, found: list[Creation]) -> None:
        self._cache(found)
        self._requested.difference_update(creation.id for creation in found)
        last = min(start + PAGE_SIZE, len(self._ids)) - 1
        if found and last >= start:
            self.dataChanged.emit(self.index(start), self.index(last))

    def _cache(self, creations: Iterable[Creation]) -> None:
        for creation in creations:
            self._rows[creation.id] = creation
            self._rows.move_to_end(creation.id)
        while len(self._rows) > MAX_CACHED:
            self._rows.popitem(last=False)

    def _on_thumbnail(self, creation: str, near: int) -> None:
        if (row := self.row_of(creation, near)) >= 0:
            self._emit_row_changed(row)

    def _emit_row_changed(self, row: int) -> None:
        self.dataChanged.emit(self.index(row), self.index(row))

    # Changing creations
    def star(self, ids: Iterable[str], on: bool) -> None:
        self._edit(ids, lambda creation: replace(creation, star=on), lambda id: self._library.star(id, on))

    def rate(self, ids: Iterable[str], rating: int) -> None:
        """Rate creations with 0 to 5 stars; 0 removes the rating."""
        self._edit(ids, lambda creation: replace(creation, rating=rating), lambda id: self._library.rate(id, rating))

    def tag(self, ids: Iterable[str], tags: Sequence[str]) -> None:
        self._edit(
            ids, lambda creation: replace(creation, tags=tuple(tags)), lambda id: self._library.tag(id, tuple(tags))
        )

    def rename(self, id: str, name: str, then: Callable[[Creation], None] | None = None) -> None:
        """Give a trained model another name, then call `then` with it. `failed` says why it cannot have the name."""

        def show(creation: Creation) -> None:
            self._cache([creation])
            if (row := self.row_of(id)) >= 0:
                self._emit_row_changed(row)
            self.changed.emit(id)
            self.renamed.emit(creation)
            if then:
                then(creation)

        self._writes.run(lambda: self._library.rename(id, name), show)

    def describe_model_users(self, ids: Sequence[str], then: Callable[[str], None]) -> None:
        """Call `then` with sentences about what was made with the models among these creations, or an empty text."""
        if any((one := self.get_cached(id)) is not None and one.kind is CreationKind.MODEL for id in ids):
            self._reads.run(lambda: self._library.describe_model_users(ids), then)
        else:
            then("")

    def trash(self, ids: Sequence[str]) -> None:
        self._move(ids, lambda: self._library.trash(ids))

    def restore(self, ids: Sequence[str]) -> None:
        self._move(ids, lambda: self._library.restore(ids))

    def delete(self, ids: Sequence[str]) -> None:
        """Delete creations in the trash permanently."""

        def delete() -> None:
            if left := len(ids) - len(self._library.delete(ids)):
                raise StudioError(
                    f"{left} of {len(ids)} could not be deleted.", "Check the permissions of the library folder."
                )

        self._move(ids, delete)

    def empty_trash(self) -> None:
        """Delete creations in the trash permanently."""
        self._move(list(self._ids) if self._search.trashed else [], self._library.empty_trash)

    def _edit(self, ids: Iterable[str], change: Callable[[Creation], Creation], write: Callable[[str], object]) -> None:
        for id in ids:
            if (creation := self.get_cached(id)) is not None:
                self._cache([change(creation)])
            if (row := self.row_of(id)) >= 0:
                self._emit_row_changed(row)
            self._writes.run(lambda id=id: write(id))  # type: ignore[misc]
            self.changed.emit(id)

    def _move(self, ids: Sequence[str], write: Callable[[], object]) -> None:
        """Remove rows at once, move their creations, and read the list again."""
        rows = sorted((row for row in map(self.row_of, ids) if row >= 0), reverse=True)
        for row in rows:
            self._rows.pop(self._ids[row], None)
        for first, last in find_spans(rows):
            self.beginRemoveRows(QModelIndex(), first, last)
            self._ids = self._ids[:first] + self._ids[last + 1 :]
            self.endRemoveRows()
        self._request_number += 1
        self._writes.run(write, lambda _: self.refresh())

    # Related creations
    def read_lineage(self, creation: str, then: Callable[[Lineage], None]) -> None:
        """Read the ancestors and the children of a creation."""
        self._reads.run(lambda: read_lineage(self._library, creation), then)

    def read_source_image(self, creation: str, then: Callable[[Creation | None], None]) -> None:
        """Read the picture that a creation was made from, for comparing; None if there is none."""

        def read() -> Creation | None:
            parents = self._library.find_parents(creation)
            return next((one for one in parents if one.kind is CreationKind.IMAGE and not one.missing), None)

        self._reads.run(read, then)

    def export(self, creation: str, to: Path, include: Include, then: Callable[[Path], None]) -> None:
        self._writes.run(lambda: self._library.export(creation, to, include), then)

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
    """Describe a creation in one line, for a screen reader."""
    words = [creation.title or creation.kind.value, creation.kind.value]
    if creation.star:
        words.append("starred")
    if creation.missing:
        words.append("file missing")
    return ", ".join(words)
