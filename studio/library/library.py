"""The library: one front for files, index, thumbnails and trash. Any thread may use it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from studio.core import files
from studio.core.errors import BadInput, StudioError
from studio.core.paths import Home
from studio.core.recipe import REFERENCE, now
from studio.library import sqlite_pool
from studio.library.creation import Creation, CreationKind
from studio.library.index import schema
from studio.library.index.query import parse
from studio.library.sqlite_pool import Pool
from studio.library.storage import sidecar
from studio.library.storage.thumbnail_db import ThumbnailDb

if TYPE_CHECKING:
    from studio.library.index.reindex import SweepResult

MAX_TAGS, MAX_TAG = 100, 80
_DAMAGED_MARKER = "index.damaged"


class Library:
    """Creations by content. The files are the truth; the index only makes them quick to find.

    Every method may raise StudioError when the disk or the index fails.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self._pool = Pool(home.index, schema.prepare_connection)
        self._thumbnails = ThumbnailDb(home.thumbs)

    def open(self) -> None:
        """Makes what is missing. Raises StudioError where the index is of a newer studio."""
        try:
            self.home.make()
        except OSError as error:
            raise files.describe_write_error(self.home.root / "library", error) from error
        marker = self.home.index.with_name(_DAMAGED_MARKER)
        if marker.exists():
            self._reset_index()
        try:
            with self._pool.connect() as connection:
                connection.execute("SELECT count(*) FROM facts").fetchone()
        except sqlite3.Error as error:
            if not sqlite_pool.is_corruption(error):
                raise _describe_index_error(error) from error
            self._reset_index()
            with self._connect():
                pass

    def close(self) -> None:
        self._pool.close()
        self._thumbnails.close()

    @property
    def needs_sweep(self) -> bool:
        """Whether the index is new, so that `sweep` has yet to fill it."""
        with self._connect() as connection:
            return connection.execute("SELECT 1 FROM facts WHERE name = 'swept'").fetchone() is None

    # Files become creations

    def add(self, path: Path, *, digest: str = "") -> Creation:
        """The creation of a file, or a model's folder, that lies in the library's folder; indexed if it was not.

        `digest` is its id where that is known; without it, the file is read once more. Raises BadInput for what
        lies elsewhere or is no creation.
        """
        from studio.library.index.extraction import extract
        from studio.library.index.reindex import index_file
        from studio.library.index.scan import file_stamp

        path = Path(path).absolute()
        if self.home.library not in path.parents:
            raise BadInput(f"{path} is not in the library.", "Import it first.")
        try:
            stamp = file_stamp(path)
            with self._connect() as connection:
                known = connection.execute(
                    "SELECT id FROM files WHERE path = ? AND stamp = ?", (schema.relative_path(self.home, path), stamp)
                ).fetchone()
                rows = schema.read_rows(connection, self.home, known or ())
            if rows and not rows[0].missing:
                return rows[0]
            measured = extract(self.home, path, digest)
        except FileNotFoundError as error:
            raise BadInput(f"There is no file {path}.", "Check the path.") from error
        except OSError as error:
            raise BadInput(f"{path.name} cannot be read: {error.strerror or error}.") from error
        with self._begin() as connection:
            index_file(connection, self.home, measured, stamp)
        return self._require(measured.creation.id)

    def import_file(self, path: Path, *, aside: bool = False) -> Creation:
        """Imports any file: the creation that has these bytes already, or a copy, byte for byte, under today's date.

        A picture that is taken `aside`, such as a mask, is a `CreationKind.FILE` until it is adopted as a
        picture too. A creation in the trash that has these bytes is taken out of it. Raises BadInput
        for a missing file, a folder, or a picture that cannot be read.
        """
        from studio.library.storage import importer

        path = Path(path).expanduser().absolute()
        digest = importer.digest(path)
        known = self.get(digest)
        if known and not known.missing and Path(known.path).exists():
            if known.trashed:
                self.restore([known.id])
            if known.kind is CreationKind.FILE and not aside and importer.bring_forward(Path(known.path)):
                return self.add(Path(known.path))
            return self._require(known.id)
        if self.home.library in path.parents:
            return self.add(path)
        thumbnail = importer.check(path)
        copy = importer.copy(self.home, path, digest, created=now(), aside=aside and thumbnail is not None)
        if thumbnail:
            self._thumbnails.put(digest, thumbnail)
        return self.add(copy)

    # Looking up

    def get(self, id_or_prefix: str) -> Creation | None:
        """A creation by its id, ``sha256:…``, or at least six hex digits that only one id begins with."""
        wanted = id_or_prefix.strip().removeprefix(REFERENCE).lower()
        if not re.fullmatch("[0-9a-f]{6,64}", wanted):
            return None
        with self._connect() as connection:
            found = connection.execute(
                "SELECT id FROM creations WHERE id >= ? AND id < ? LIMIT 2", (wanted, wanted + "g")
            ).fetchall()
            rows = schema.read_rows(connection, self.home, [found[0][0]]) if len(found) == 1 else []
        return rows[0] if rows else None

    def path_of(self, sha256: str) -> Path | None:
        """Where the bytes of this digest lie, in the trash too; None where they are gone."""
        creation = self.get(sha256.removeprefix(REFERENCE)) if len(sha256.removeprefix(REFERENCE)) == 64 else None
        return Path(creation.path) if creation and Path(creation.path).exists() else None

    def get_many(self, ids: Iterable[str]) -> list[Creation]:
        """The creations of these ids, in this order; unknown ones are left out."""
        with self._connect() as connection:
            return schema.read_rows(connection, self.home, ids)

    def find_ids(
        self,
        query: str = "",
        *,
        kind: CreationKind | None = None,
        starred: bool = False,
        trashed: bool = False,
        limit: int = -1,
    ) -> list[str]:
        """The ids of what fits, the newest first; of all of it unless there is a `limit`. For the words see `query`."""
        with self._connect() as connection:
            return schema.find_ids(connection, parse(query), kind=kind, starred=starred, trashed=trashed, limit=limit)

    def search(
        self,
        query: str = "",
        *,
        kind: CreationKind | None = None,
        starred: bool = False,
        trashed: bool = False,
        limit: int = 200,
        before: str | None = None,
    ) -> list[Creation]:
        """A page of what fits, the newest first. `before` is the id of the last creation of the page before."""
        with self._connect() as connection:
            ids = schema.find_ids(
                connection, parse(query), kind=kind, starred=starred, trashed=trashed, limit=limit, before=before
            )
            return schema.read_rows(connection, self.home, ids)

    def find_parents(self, id: str) -> list[Creation]:
        """What it was made from, as far as it is known here."""
        with self._connect() as connection:
            rows = connection.execute("SELECT parent FROM links WHERE child = ?", (id,)).fetchall()
            return schema.read_rows(connection, self.home, [row[0] for row in rows])

    def find_children(self, id: str) -> list[Creation]:
        """What was made from it, the newest first."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT c.id FROM links l JOIN creations c ON c.id = l.child WHERE l.parent = ? ORDER BY c.key DESC",
                (id,),
            ).fetchall()
            return schema.read_rows(connection, self.home, [row[0] for row in rows])

    def list_models(self, kind: str = "") -> list[Creation]:
        """Trained models of a kind, the newest first; of every kind when it is empty."""
        return [one for one in self.search(kind=CreationKind.MODEL, limit=10_000) if not kind or one.model_kind == kind]

    def load_thumbnail(self, id: str) -> bytes | None:
        """A JPEG of at most 256 pixels a side, remade if it was lost; None for what has no picture."""
        found = self._thumbnails.get(id)
        if found is None and (creation := self.get(id)) and not creation.missing:
            from studio.library.storage import thumbnails

            found = thumbnails.of(creation)
            if found:
                self._thumbnails.put(id, found)
        return found

    # Marks

    def star(self, id: str, on: bool) -> Creation:
        return self._mark(id, star=bool(on))

    def rate(self, id: str, stars: int) -> Creation:
        """`stars` from 0 to 5."""
        if not 0 <= stars <= 5:
            raise BadInput(f"A rating goes from 0 to 5, and {stars} does not.")
        return self._mark(id, rating=int(stars))

    def tag(self, id: str, tags: Iterable[str]) -> Creation:
        """Replaces the tags. Spaces at the ends and doubles are dropped; at most 100 of 80 characters."""
        unique: dict[str, str] = {}
        for tag in tags:
            cleaned = " ".join(tag.encode("utf-8", "replace").decode().split())[:MAX_TAG].strip()
            if cleaned:
                unique.setdefault(cleaned.casefold(), cleaned)
        return self._mark(id, tags=tuple(unique.values())[:MAX_TAGS])

    # Trash

    def trash(self, ids: Iterable[str]) -> list[str]:
        """Moves creations to the trash; the ids of those that are there now, for `restore`."""
        return self._move(ids, to_trash=True)

    def restore(self, ids: Iterable[str]) -> list[str]:
        """Moves creations from the trash back to where they were; the ids of those that are there now."""
        return self._move(ids, to_trash=False)

    def delete(self, ids: Iterable[str]) -> list[str]:
        """Deletes creations for good, and only from the trash; the ids of those that are gone."""
        from studio.library.storage import trash

        gone = [one.id for one in self.get_many(ids) if one.trashed and trash.delete(self.home, Path(one.path))]
        with self._begin() as connection:
            for id in gone:
                schema.delete_row(connection, id)
        self._thumbnails.drop(gone)
        trash.remove_empty_folders(self.home)
        return gone

    def empty_trash(self) -> int:
        """Deletes what is in the trash, for good; how many creations that were."""
        return len(self.delete(self.find_ids(trashed=True)))

    # Upkeep

    def sweep(self, progress: Callable[[int, int], None] | None = None) -> SweepResult:
        """Brings the index in line with the files. Quick when nothing changed; may run in a background thread."""
        from studio.library.index import reindex as sweep

        try:
            return sweep.sweep(self.home, self._pool, progress)
        except sqlite3.Error as error:
            if not sqlite_pool.is_corruption(error):
                raise _describe_index_error(error) from error
            self._reset_index()
        with _translate_errors(self.home):
            return sweep.sweep(self.home, self._pool, progress)

    def export(self, id: str, to: Path) -> Path:
        """A copy of a creation at `to`, a file or a folder; another extension converts, and keeps the recipe.

        Raises BadInput for an extension that this kind cannot have.
        """
        from studio.library.storage import exporter as export

        return export.export(self._require(id), Path(to).expanduser().absolute())

    def _require(self, id: str) -> Creation:
        creation = self.get(id)
        if creation is None:
            raise BadInput(f"There is no creation {id[:10]} in the library.")
        return creation

    def _mark(self, id: str, **values: Any) -> Creation:
        from studio.library.index.scan import file_stamp

        creation = self._require(id)
        path = Path(creation.path)
        if creation.missing or not path.exists():
            raise BadInput(f"The file of {path.name} is missing, so it cannot be marked.")
        sidecar.change(path, **values)
        changed = msgspec.structs.replace(creation, **values)
        with self._begin() as connection:
            schema.update_marks(connection, changed)
            with suppress(FileNotFoundError):
                schema.write_file_stamp(connection, self.home, path, file_stamp(path))
        return changed

    def _move(self, ids: Iterable[str], *, to_trash: bool) -> list[str]:
        from studio.library.index.scan import file_stamp
        from studio.library.storage import trash

        moved: list[str] = []
        for creation in self.get_many(ids):
            source = Path(creation.path)
            if creation.trashed == to_trash or not source.exists():
                continue
            target = trash.move(self.home, source, to_trash=to_trash)
            changed = msgspec.structs.replace(creation, path=str(target), trashed=to_trash)
            with self._begin() as connection:
                schema.delete_file_stamp(connection, self.home, source)
                schema.update_path(connection, self.home, creation.id, target)
                schema.update_marks(connection, changed)
                with suppress(FileNotFoundError):
                    schema.write_file_stamp(connection, self.home, target, file_stamp(target), creation.id)
            moved.append(creation.id)
        return moved

    def _reset_index(self) -> None:
        self._pool.close()
        try:
            sqlite_pool.remove_database(self.home.index)
            self.home.index.with_name(_DAMAGED_MARKER).unlink(missing_ok=True)
        except OSError as error:
            sentence = "The library's index is damaged and cannot be removed."
            raise StudioError(sentence, "Close other studios and try again.") from error
        self._pool = Pool(self.home.index, schema.prepare_connection)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        with _translate_errors(self.home), self._pool.connect() as connection:
            yield connection

    @contextmanager
    def _begin(self) -> Iterator[sqlite3.Connection]:
        with _translate_errors(self.home), self._pool.begin() as connection:
            yield connection


@contextmanager
def _translate_errors(home: Home) -> Iterator[None]:
    """SQLite's failures in a sentence. A damaged index is noted, and made anew when the library is next opened."""
    try:
        yield
    except sqlite3.Error as error:
        if sqlite_pool.is_corruption(error):
            with suppress(OSError):
                home.index.with_name(_DAMAGED_MARKER).touch()
        raise _describe_index_error(error) from error


def _describe_index_error(error: sqlite3.Error) -> StudioError:
    if sqlite_pool.is_corruption(error):
        return StudioError("The library's index is damaged.", "Start the studio again; it is rebuilt from the files.")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StudioError("The disk is full: the index could not be written.", "Free some space and try again.")
    if code == sqlite3.SQLITE_BUSY:
        return StudioError("Another studio keeps the library busy.", "Try again in a moment.")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return StudioError("The library's index may not be written to.", "Check the permissions of its folder.")
    return StudioError(f"The library's index failed: {error}.")
