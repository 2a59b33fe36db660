"""Updates the index from the files, which are the source of truth.

Reads only files whose size or modification time differs from the index. May run in a background thread, and in
two processes at once.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from studio.core.errors import BadInput
from studio.core.files import PART
from studio.core.paths import Home
from studio.core.untrusted_files import name_for_display
from studio.library.index import schema
from studio.library.index.extraction import IndexEntry, extract, hash_creation
from studio.library.index.file_reader import FileReader
from studio.library.index.scan import FileScan, file_stamp, is_same_file, scan
from studio.library.sqlite_pool import Pool
from studio.library.storage import sidecar

_log = logging.getLogger(__name__)
BATCH = 64
"""Number of files per transaction, so that other writers get a turn."""
MAX_AGE = 2 * 86_400.0
"""Seconds after which an unfinished file counts as abandoned even if a process with its id exists."""


class SweepResult(Struct, frozen=True, kw_only=True):
    """The changes that a sweep made. `added` and `missing` are creation ids; `problems` are sentences."""

    added: tuple[str, ...] = ()
    updated: int = 0
    missing: tuple[str, ...] = ()
    removed: int = 0
    """Number of deleted unfinished files whose process has ended."""
    problems: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.added or self.updated or self.missing)


class _FileContent(Struct):
    """The content of a new or changed file, or the reason why it could not be read."""

    name: str
    stamp: str
    content: IndexEntry | sidecar.Sidecar | None = None
    problem: str = ""


def sweep(
    home: Home, pool: Pool, reader: FileReader, progress: Callable[[int, int], None] | None = None
) -> SweepResult:
    """Index files without rows and mark rows without files.

    `reader` reads them in a process of its own. `progress` gets the number of files read and the total.
    """
    with pool.connect() as connection:
        before: dict[str, str] = dict(connection.execute("SELECT path, stamp FROM files"))
    files = scan(home.library)
    removed = sum(_remove_unfinished(part) for part in files.unfinished)
    _reunite_sidecars(home, files)
    changed = [name for name, stamp in files.stamps.items() if before.get(name) != stamp]
    added: list[str] = []
    problems = [_describe_bad_name(path) for path in files.unnameable]
    updated = 0
    for start in range(0, len(changed), BATCH):
        names = changed[start : start + BATCH]
        batch = [_read_file(home, reader, name, files.stamps[name], before.get(name, "")) for name in names]
        with pool.begin() as connection:
            for file in batch:
                new = _try_to_index(connection, home, file)
                updated += new is not None and not new
                added += [new] if new else []
        problems += [file.problem for file in batch if file.problem]
        if progress:
            progress(min(start + BATCH, len(changed)), len(changed))
    missing = drop_files(home, pool, [name for name in before if name not in files.stamps])
    with pool.begin() as connection:
        connection.execute("INSERT OR REPLACE INTO facts VALUES ('swept', ?)", (str(time.time()),))
    return SweepResult(
        added=tuple(added), updated=updated, missing=tuple(missing), removed=removed, problems=tuple(problems)
    )


def index_file(connection: sqlite3.Connection, home: Home, entry: IndexEntry, stamp: str) -> bool:
    """Write a file and its creation into the index. Return True if the creation is new.

    If two files have the same bytes, the first one keeps the creation unless it is in the trash. A creation whose
    file was overwritten becomes missing.
    """
    creation = entry.creation
    path = Path(creation.path)
    known = schema.read_rows(connection, home, [creation.id])
    row = connection.execute("SELECT id FROM files WHERE path = ?", (schema.relative_path(home, path),)).fetchone()
    if row and row[0] != creation.id:
        _drop_file(connection, home, schema.relative_path(home, path))
    schema.write_file_stamp(connection, home, path, stamp, creation.id)
    elsewhere = known and not known[0].missing and known[0].path != creation.path and Path(known[0].path).exists()
    if not elsewhere or (known[0].trashed and not creation.trashed):
        schema.write_row(connection, home, entry)
    return not known


def drop_files(home: Home, pool: Pool, names: Iterable[str]) -> list[str]:
    """Remove deleted files from the index. Return the ids of creations that are missing now."""
    missing: list[str] = []
    gone = [name for name in names if not (home.library / name).exists()]
    for start in range(0, len(gone), BATCH):
        with pool.begin() as connection:
            for name in gone[start : start + BATCH]:
                missing += _drop_file(connection, home, name)
    return missing


def _drop_file(connection: sqlite3.Connection, home: Home, name: str) -> list[str]:
    row = connection.execute("SELECT id FROM files WHERE path = ?", (name,)).fetchone()
    connection.execute("DELETE FROM files WHERE path = ?", (name,))
    known = schema.read_rows(connection, home, [row[0]]) if row else []
    if not known or known[0].path != str(home.library / name) or known[0].missing:
        return []
    other = connection.execute("SELECT path FROM files WHERE id = ? ORDER BY path", (row[0],)).fetchone()
    if other:
        with suppress(OSError, BadInput):
            schema.write_row(connection, home, extract(home, home.library / other[0]))
            return []
    schema.update_marks(connection, msgspec.structs.replace(known[0], missing=True))
    return [known[0].id]


def _read_file(home: Home, reader: FileReader, name: str, stamp: str, before: str) -> _FileContent:
    path = home.library / name
    if before and is_same_file(before, stamp):
        return _FileContent(name, stamp, sidecar.read(path))
    try:
        return _FileContent(name, stamp, reader.extract(home, path, hash_creation(path)))
    except BadInput as error:
        if not path.exists():
            return _FileContent(name, "")
        # The system may let the file be read next time; its content does not change by itself.
        unreadable = isinstance(error.__cause__, OSError) and error.__cause__.errno is not None
        return _FileContent(name, "" if unreadable else stamp, problem=str(error))


def _try_to_index(connection: sqlite3.Connection, home: Home, file: _FileContent) -> str | None:
    """Index one file as `_write_to_index` does. A file that the index does not take becomes a problem."""
    connection.execute("SAVEPOINT file")
    try:
        return _write_to_index(connection, home, file)
    except (sqlite3.OperationalError, sqlite3.InternalError):
        raise  # the disk is full, or the database damaged
    except Exception as error:
        connection.execute("ROLLBACK TO file")
        _log.debug("%s cannot be indexed", file.name, exc_info=error)
        file.problem = f"{name_for_display(home.library / file.name)} cannot be indexed."
        return None
    finally:
        connection.execute("RELEASE file")


def _write_to_index(connection: sqlite3.Connection, home: Home, file: _FileContent) -> str | None:
    """Index one file. Return the id of a new creation, an empty string for a changed one, None for no change."""
    if isinstance(file.content, IndexEntry):
        return file.content.creation.id if index_file(connection, home, file.content, file.stamp) else ""
    if not file.stamp:
        return None
    row = connection.execute("SELECT id FROM files WHERE path = ?", (file.name,)).fetchone()
    connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (file.name, file.stamp, row[0] if row else ""))
    known = schema.read_rows(connection, home, [row[0]]) if row and file.content else []
    if not known or known[0].path != str(home.library / file.name):
        return None
    assert isinstance(file.content, sidecar.Sidecar)
    beside = file.content
    schema.update_marks(
        connection, msgspec.structs.replace(known[0], star=beside.star, rating=beside.rating, tags=beside.tags)
    )
    return ""


def _describe_bad_name(path: Path) -> str:
    return f"The name of {name_for_display(path)} is not UTF-8, so it is left out. Rename it."


def _reunite_sidecars(home: Home, files: FileScan) -> None:
    """Move sidecars to their creations. A kill while trashing can leave one of them in the trash and the other not."""
    trash = f"{home.trash.name}/"
    for name in files.orphaned:
        other = name.removeprefix(trash) if name.startswith(trash) else trash + name
        if other not in files.stamps or sidecar.sidecar_path(home.library / other).exists():
            continue
        with suppress(OSError):
            sidecar.sidecar_path(home.library / name).rename(sidecar.sidecar_path(home.library / other))
            files.stamps[other] = file_stamp(home.library / other)


def _remove_unfinished(part: Path) -> bool:
    if not _is_abandoned(part):
        return False
    with suppress(OSError):
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    return not part.exists()


def _is_abandoned(part: Path) -> bool:
    """Check whether no process writes the file any more: its process has ended, or it is very old."""
    import psutil

    try:
        age = time.time() - part.stat().st_mtime
    except OSError:
        return False
    number = part.name.removeprefix(PART).partition("-")[0]
    writer = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
    return age > MAX_AGE or not writer or (writer != os.getpid() and not psutil.pid_exists(writer))
