"""The façade of the library: files, index, thumbnails and trash. Any thread may use it."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from studio.core import files
from studio.core.errors import BadInput, StudioError
from studio.core.export_include import Include
from studio.core.images import IMAGE_SUFFIXES
from studio.core.paths import Home
from studio.core.recipe import REFERENCE, utc_now
from studio.library import sqlite_pool
from studio.library.creation import Creation, CreationKind, find_tile_image
from studio.library.formats import detection
from studio.library.index import schema
from studio.library.index.file_reader import FileReader
from studio.library.index.query import parse
from studio.library.sqlite_pool import Pool
from studio.library.storage import sidecar
from studio.library.storage.thumbnail_db import ThumbnailDb

if TYPE_CHECKING:
    from studio.library.index.reindex import SweepResult

MAX_TAGS, MAX_TAG = 100, 80
MAX_HASHED = 2**30
"""Number of bytes of a model up to which its weights are hashed to find what was made with it."""
_DAMAGED_MARKER = "index.damaged"


class Library:
    """All creations of a home. The files are the source of truth; the index makes them quick to find.

    Every method may raise StudioError when the disk or the index fails.
    """

    def __init__(self, home: Home) -> None:
        self._temporary_index = _copy_index(home) if home.is_read_only else None
        self.home = home = replace(home, index_folder=self._temporary_index) if self._temporary_index else home
        self._pool = Pool(home.index, schema.prepare_connection)
        self._thumbnails = ThumbnailDb(home.thumbs)
        self.reader = FileReader()
        """Reads foreign files in a process of its own."""

    def open(self) -> None:
        """Create missing folders and the index. Raises StudioError if a newer version of the studio wrote the index."""
        try:
            self.home.create_folders()
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
                raise _describe_index_error(error, self.home.root) from error
            self._reset_index()
            with self._connect():
                pass

    def close(self) -> None:
        self.reader.close()
        self._pool.close()
        self._thumbnails.close()
        if self._temporary_index:
            shutil.rmtree(self._temporary_index, ignore_errors=True)

    @property
    def needs_sweep(self) -> bool:
        """Check whether the index is new and `sweep` has not filled it yet."""
        with self._connect() as connection:
            return connection.execute("SELECT 1 FROM facts WHERE name = 'swept'").fetchone() is None

    # Adding files

    def add(self, path: Path, *, digest: str = "") -> Creation:
        """Index a file or a model's folder that lies in the library folder, and return its creation.

        `digest` is its id where the studio has just written it. Another file is hashed, and read in a process of its
        own. Raises BadInput if the path is elsewhere or is not a creation.
        """
        from studio.library.index.extraction import extract, hash_creation
        from studio.library.index.reindex import index_file
        from studio.library.index.scan import file_stamp

        path = Path(path).absolute()
        if self.home.library not in path.parents:
            raise BadInput(f"{path} is not in the library.", "Import it first.")
        try:
            stamp = file_stamp(path)
            with self._connect() as connection:
                row = connection.execute(
                    "SELECT id FROM files WHERE path = ? AND stamp = ?", (schema.relative_path(self.home, path), stamp)
                ).fetchone()
                rows = schema.read_rows(connection, self.home, row or ())
            if rows and not rows[0].missing:
                return rows[0]
            if digest:
                entry = extract(self.home, path, digest)
            else:
                entry = self.reader.extract(self.home, path, hash_creation(path))
        except FileNotFoundError as error:
            raise BadInput(f"There is no file {path}.", "Check the path.") from error
        with self._begin() as connection:
            index_file(connection, self.home, entry, stamp)
        return self._require(entry.creation.id)

    def import_file(self, path: Path, *, hidden: bool = False) -> Creation:
        """Copy a file into the library, or return the creation that has the same bytes.

        A `hidden` image, such as a mask, is a `CreationKind.FILE` until it is imported again without `hidden`.
        A creation in the trash with the same bytes is restored. Raises BadInput for a missing file, a folder,
        or an image that cannot be read.
        """
        from studio.library.storage import importer

        path = Path(path).expanduser().absolute()
        digest = importer.hash_file(path)
        known = self.get(digest)
        if known and not known.missing and Path(known.path).exists():
            if known.trashed:
                self.restore([known.id])
            if known.kind is CreationKind.FILE and not hidden and importer.unhide(Path(known.path)):
                return self.add(Path(known.path))
            return self._require(known.id)
        if self.home.library in path.parents:
            return self.add(path)
        thumbnail = self._render_imported(path)
        copy = importer.copy_into_library(
            self.home, path, digest, created=utc_now(), hidden=hidden and thumbnail is not None
        )
        if thumbnail:
            self._thumbnails.put(digest, thumbnail)
        return self.add(copy)

    # Finding creations

    def get(self, id_or_prefix: str) -> Creation | None:
        """Find a creation by its id, ``sha256:…``, or by at least six hex digits that only one id begins with."""
        prefix = id_or_prefix.strip().removeprefix(REFERENCE).lower()
        if not re.fullmatch("[0-9a-f]{6,64}", prefix):
            return None
        with self._connect() as connection:
            matches = connection.execute(
                "SELECT id FROM creations WHERE id >= ? AND id < ? LIMIT 2", (prefix, prefix + "g")
            ).fetchall()
            rows = schema.read_rows(connection, self.home, [matches[0][0]]) if len(matches) == 1 else []
        return rows[0] if rows else None

    def path_of(self, sha256: str) -> Path | None:
        """Return the path of the file with this digest, even in the trash. Return None if there is none."""
        creation = self.get(sha256.removeprefix(REFERENCE)) if len(sha256.removeprefix(REFERENCE)) == 64 else None
        return Path(creation.path) if creation and Path(creation.path).exists() else None

    def get_many(self, ids: Iterable[str]) -> list[Creation]:
        """Return the creations of these ids, in this order. Unknown ids are skipped."""
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
        """Return the ids of matching creations, newest first. The module `query` documents the search language."""
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
        """Return matching creations, newest first. To continue, pass the last id so far as `before`."""
        with self._connect() as connection:
            ids = schema.find_ids(
                connection, parse(query), kind=kind, starred=starred, trashed=trashed, limit=limit, before=before
            )
            return schema.read_rows(connection, self.home, ids)

    def find_parents(self, *ids: str) -> list[Creation]:
        """Return the creations in the library that these were made from, each once."""
        with self._connect() as connection:
            parents: dict[str, None] = {}
            for id in ids:
                rows = connection.execute("SELECT parent FROM links WHERE child = ?", (id,)).fetchall()
                parents.update(dict.fromkeys(row[0] for row in rows))
            return schema.read_rows(connection, self.home, parents)

    def find_children(self, id: str) -> list[Creation]:
        """Return the creations that were made from this one, newest first."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT c.id FROM links l JOIN creations c ON c.id = l.child WHERE l.parent = ? ORDER BY c.key DESC",
                (id,),
            ).fetchall()
            return schema.read_rows(connection, self.home, [row[0] for row in rows])

    def list_models(self, model_kind: str = "") -> list[Creation]:
        """Return trained models of a kind, or of all kinds if it is empty, newest first."""
        models = self.search(kind=CreationKind.MODEL, limit=10_000)
        return [model for model in models if not model_kind or model.model_kind == model_kind]

    def load_thumbnail(self, id: str) -> bytes | None:
        """Return a JPEG of at most 256 pixels a side, rendered if it is not stored. Return None for texts etc."""
        content = self._thumbnails.get(id)
        if content is None and (creation := self.get(id)) and not creation.missing:
            content = self._render_thumbnail(creation)
            if content:
                self._thumbnails.put(id, content)
        return content

    # Marks

    def star(self, id: str, on: bool) -> Creation:
        """Set or clear the star."""
        return self._mark(id, star=bool(on))

    def rate(self, id: str, stars: int) -> Creation:
        """Set the rating, 0 to 5. Raises BadInput for another number."""
        if not 0 <= stars <= 5:
            raise BadInput(f"The rating {stars} is not between 0 and 5.")
        return self._mark(id, rating=int(stars))

    def tag(self, id: str, tags: Iterable[str]) -> Creation:
        """Replace the tags. Strips spaces and duplicates, and keeps at most 100 tags of 80 characters."""
        unique: dict[str, str] = {}
        for tag in tags:
            cleaned = " ".join(tag.encode("utf-8", "replace").decode().split())[:MAX_TAG].strip()
            if cleaned:
                unique.setdefault(cleaned.casefold(), cleaned)
        return self._mark(id, tags=tuple(unique.values())[:MAX_TAGS])

    def rename(self, id: str, name: str) -> Creation:
        """Give a trained model another name. Its id stays, and recipes find it as before.

        Raises BadInput for anything else, and for a name that is empty, too long, or another model's.
        """
        from studio.library.storage import model_names

        creation = self._require(id)
        if creation.kind is not CreationKind.MODEL:
            raise BadInput("Only models have names that can be changed.")
        if creation.missing or not Path(creation.path).exists():
            raise BadInput(f"{creation.title} cannot be renamed because its folder is missing.")
        model_names.rename(self.home, Path(creation.path), name)
        return self.add(Path(creation.path), digest=creation.id)

    def describe_model_users(self, ids: Iterable[str]) -> str:
        """Return sentences about what was made with the models among these creations; empty for nothing."""
        from studio.core.model_files.weights_digest import digest_weights
        from studio.library.index import model_users

        models = [creation for creation in self.get_many(ids) if creation.kind is CreationKind.MODEL]
        marks = {model.id for model in models}
        # A tag in a prompt names a LoRA by its file or title, so that only the digest of the weights tells it.
        small = [Path(model.path) for model in models if model.size <= MAX_HASHED and not model.missing]
        marks |= {digest for path in small if path.exists() and (digest := digest_weights(path))}
        with self._connect() as connection:
            return model_users.describe_users(
                model_users.count_users(connection, marks, {model.id for model in models})
            )

    # Trash

    def trash(self, ids: Iterable[str]) -> list[str]:
        """Move creations to the trash. Return the ids of those that were moved, for `restore`."""
        return self._move(ids, to_trash=True)

    def restore(self, ids: Iterable[str]) -> list[str]:
        """Move creations from the trash back to their folders. Return the ids of those that were moved."""
        return self._move(ids, to_trash=False)

    def delete(self, ids: Iterable[str]) -> list[str]:
        """Delete creations from the trash permanently. Return the ids of those that were deleted."""
        from studio.library.storage import trash

        trashed = [creation for creation in self.get_many(ids) if creation.trashed]
        deleted = [creation.id for creation in trashed if trash.delete(self.home, Path(creation.path))]
        with self._begin() as connection:
            for id in deleted:
                schema.delete_row(connection, id)
        self._thumbnails.delete(deleted)
        trash.remove_empty_folders(self.home)
        return deleted

    def empty_trash(self) -> int:
        """Delete everything in the trash permanently. Return the number of creations."""
        return len(self.delete(self.find_ids(trashed=True)))

    # Upkeep

    def sweep(self, progress: Callable[[int, int], None] | None = None) -> SweepResult:
        """Update the index from the files. Quick if nothing changed; may run in a background thread."""
        from studio.library.index import reindex

        try:
            return reindex.sweep(self.home, self._pool, self.reader, progress)
        except sqlite3.Error as error:
            if not sqlite_pool.is_corruption(error):
                raise _describe_index_error(error, self.home.root) from error
            self._reset_index()
        with _translate_errors(self.home):
            return reindex.sweep(self.home, self._pool, self.reader, progress)

    def export(self, id: str, to: Path, include: Include = Include.EVERYTHING) -> Path:
        """Copy a creation to `to`, a file or a folder. Another extension converts the file.

        `include` says what the copy tells about how it was made; by default everything but paths. Raises BadInput for
        an extension that does not suit the creation.
        """
        from studio.library.storage import exporter

        return exporter.export(self._require(id), Path(to).expanduser().absolute(), include)

    def _render_imported(self, path: Path) -> bytes | None:
        """Render the thumbnail of an image. Return None for another file. Raises BadInput for a damaged image."""
        if detection.detect_format(path) in detection.IMAGE_FORMATS or path.suffix.lower() in IMAGE_SUFFIXES:
            return self.reader.render_thumbnail(path)
        return None

    def _render_thumbnail(self, creation: Creation) -> bytes | None:
        """Render the thumbnail of a creation. Return None where there is none, or its file cannot be read."""
        path: Path | None = Path(creation.path)
        if creation.kind is CreationKind.MODEL:
            path = find_tile_image(Path(creation.path))
        elif creation.kind not in (CreationKind.IMAGE, CreationKind.ANIMATION):
            path = None
        try:
            return self.reader.render_thumbnail(path) if path else None
        except BadInput:
            return None

    def _require(self, id: str) -> Creation:
        creation = self.get(id)
        if creation is None:
            raise BadInput(f"The library has no creation {id[:10]}.")
        return creation

    def _mark(self, id: str, **values: bool | int | tuple[str, ...]) -> Creation:
        from studio.library.index.scan import file_stamp

        creation = self._require(id)
        path = Path(creation.path)
        if creation.missing or not path.exists():
            raise BadInput(f"{path.name} cannot be changed because its file is missing.")
        sidecar.update(path, **values)
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
            sentence = "The library's index is damaged and cannot be deleted."
            raise StudioError(sentence, "Close other windows of the studio and try again.") from error
        self._pool = Pool(self.home.index, schema.prepare_connection)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        with _translate_errors(self.home), self._pool.connect() as connection:
            yield connection

    @contextmanager
    def _begin(self) -> Iterator[sqlite3.Connection]:
        with _translate_errors(self.home), self._pool.begin() as connection:
            yield connection


def _copy_index(home: Home) -> Path:
    """Copy the index and the thumbnails of a read-only home into a temporary folder, which takes its logs too."""
    folder = Path(tempfile.mkdtemp(prefix="studio-index-"))
    (folder / "logs").mkdir()
    for path in (home.index, home.thumbs):
        for file in (path, path.with_name(f"{path.name}-wal")):
            with suppress(OSError):
                shutil.copyfile(file, folder / file.name)
    return folder


@contextmanager
def _translate_errors(home: Home) -> Iterator[None]:
    """Raise SQLite's errors as StudioError. A corrupt index is marked, and `open` rebuilds it."""
    try:
        yield
    except sqlite3.Error as error:
        if sqlite_pool.is_corruption(error):
            with suppress(OSError):
                home.index.with_name(_DAMAGED_MARKER).touch()
        raise _describe_index_error(error, home.root) from error


def _describe_index_error(error: sqlite3.Error, folder: Path) -> StudioError:
    if sqlite_pool.is_corruption(error):
        return StudioError("The library's index is damaged.", "Restart the studio to rebuild it from the files.")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return files.describe_full_disk("the index", folder)
    if code == sqlite3.SQLITE_BUSY:
        return StudioError("Another studio is writing to the library.", "Try again in a moment.")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return StudioError("The library's index is write-protected.", "Check the permissions of its folder.")
    return StudioError(f"The library's index failed: {error}.")
