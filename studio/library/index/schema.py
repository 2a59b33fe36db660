"""The SQLite index: schema, migrations, and conversion between rows and creations.

A row's key is its creation time in milliseconds, times 1024, plus a few bits of its id. The
order of keys is therefore the order of the history, and a page is found by its key alone.
Searches read a narrow table; the rest of a row is in another one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from studio.core.errors import BadInput, StudioError
from studio.core.paths import Home
from studio.core.recipe import REFERENCE, Recipe
from studio.library.creation import Creation, CreationKind
from studio.library.index import query
from studio.library.index.timestamps import to_milliseconds

if TYPE_CHECKING:
    from studio.library.index.extraction import IndexEntry

SHOWN, TRASHED, HIDDEN = 0, 1, 2
"""Shelves. Hidden are creations whose file is missing, and files that only serve as inputs."""

_FIRST_MIGRATION = """
CREATE TABLE creations (
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, shelf INTEGER NOT NULL, kind TEXT NOT NULL, tool TEXT NOT NULL,
  seed INTEGER NOT NULL, star INTEGER NOT NULL, rating INTEGER NOT NULL, missing INTEGER NOT NULL,
  model_kind TEXT NOT NULL);
CREATE INDEX shelves ON creations (shelf, key, id, star, rating, kind, seed, missing);
CREATE TABLE details (
  key INTEGER PRIMARY KEY REFERENCES creations (key) ON DELETE CASCADE, path TEXT NOT NULL, title TEXT NOT NULL,
  recipe TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, duration REAL NOT NULL, size INTEGER NOT NULL,
  created TEXT NOT NULL, tags TEXT NOT NULL);
CREATE VIRTUAL TABLE words USING fts5 (text, tags, tool, name, prefix = '1 2 3',
  tokenize = 'unicode61 remove_diacritics 2');
CREATE TABLE tags (tag TEXT NOT NULL, key INTEGER NOT NULL REFERENCES creations (key) ON DELETE CASCADE,
  PRIMARY KEY (tag, key)) WITHOUT ROWID;
CREATE INDEX tags_by_key ON tags (key);
CREATE TABLE links (parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (parent, child)) WITHOUT ROWID;
CREATE INDEX links_by_child ON links (child);
CREATE TABLE files (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, id TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX files_by_id ON files (id);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
MIGRATIONS = (_FIRST_MIGRATION,)
"""One transaction each. A released migration never changes."""

_COLUMNS = """c.id, d.path, c.kind, c.tool, d.title, d.recipe, d.width, d.height, d.duration, d.size, d.created,
c.star, c.rating, d.tags, c.missing, c.model_kind"""
_FROM = "FROM creations c JOIN details d ON d.key = c.key"


def prepare_connection(connection: sqlite3.Connection) -> None:
    """Configure a connection and migrate the index. Raises StudioError if a newer studio wrote it."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -16384")
    if _version(connection) != len(MIGRATIONS):
        _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    """Apply each migration in a transaction, which reads the version again, since another process may migrate too."""
    done = False
    while not done:
        connection.execute("BEGIN IMMEDIATE")
        try:
            done = _apply_next_migration(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _apply_next_migration(connection: sqlite3.Connection) -> bool:
    """Apply one migration. Return True if it was the last."""
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise StudioError("This library was opened by a newer version of the studio.", "Update the studio to use it.")
    if version < len(MIGRATIONS):
        for statement in filter(str.strip, MIGRATIONS[version].split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version + 1}")
    return version + 1 >= len(MIGRATIONS)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def key_of(connection: sqlite3.Connection, creation: Creation) -> int:
    """Return a free key for a new row, in its millisecond or as close to it as possible."""
    start, offset, spread = (to_milliseconds(creation.created) or 0) << 10, int(creation.id[:16], 16), 1 << 10
    while True:
        key = start + offset % spread
        if not connection.execute("SELECT 1 FROM creations WHERE key = ?", (key,)).fetchone():
            return key
        offset, spread = offset * 5 + 1, spread * 2


def shelf_of(creation: Creation) -> int:
    if creation.missing or creation.kind is CreationKind.FILE:
        return HIDDEN
    return TRASHED if creation.trashed else SHOWN


def write_row(connection: sqlite3.Connection, home: Home, entry: IndexEntry) -> None:
    """Insert or replace the row of a creation. A known creation keeps its key and so its place in the history."""
    creation = entry.creation
    row = connection.execute("SELECT key FROM creations WHERE id = ?", (creation.id,)).fetchone()
    key = row[0] if row else key_of(connection, creation)
    recipe = creation.recipe
    narrow = (
        key, creation.id, shelf_of(creation), creation.kind.value, creation.tool, _seed_of(recipe),
        creation.star, creation.rating, creation.missing, creation.model_kind,
    )  # fmt: skip
    wide = (
        key, relative_path(home, Path(creation.path)), creation.title, recipe.to_json() if recipe else "",
        creation.width, creation.height, creation.duration, creation.size, creation.created, _tags_json(creation.tags),
    )  # fmt: skip
    if row:
        _delete_key(connection, key)
    connection.execute(f"INSERT INTO creations VALUES ({_placeholders(narrow)})", narrow)
    connection.execute(f"INSERT INTO details VALUES ({_placeholders(wide)})", wide)
    tags, name = query.to_index_text(" ".join(creation.tags)), query.to_index_text(Path(creation.path).name)
    words = (key, query.to_index_text(entry.words), tags, creation.tool, name)
    connection.execute("INSERT INTO words (rowid, text, tags, tool, name) VALUES (?, ?, ?, ?, ?)", words)
    _write_tags(connection, key, creation.tags)
    connection.execute("DELETE FROM links WHERE child = ?", (creation.id,))
    links = [(parent, creation.id) for parent in parents_of(recipe)] if recipe else []
    connection.executemany("INSERT OR IGNORE INTO links VALUES (?, ?)", links)


def _seed_of(recipe: Recipe | None) -> int:
    """Return the seed by which searches find a creation; -1 if it has none, or one that SQLite cannot hold."""
    return recipe.seed if recipe and abs(recipe.seed) < 2**63 else -1


def delete_row(connection: sqlite3.Connection, creation: str) -> None:
    """Delete a creation with its links and file stamps."""
    row = connection.execute("SELECT key FROM creations WHERE id = ?", (creation,)).fetchone()
    if row:
        _delete_key(connection, row[0])
    connection.execute("DELETE FROM links WHERE child = ?", (creation,))
    connection.execute("DELETE FROM files WHERE id = ?", (creation,))


def update_marks(connection: sqlite3.Connection, creation: Creation) -> None:
    """Update what can change without the file: shelf, star, rating, tags, missing."""
    (key,) = connection.execute("SELECT key FROM creations WHERE id = ?", (creation.id,)).fetchone()
    state = (shelf_of(creation), creation.star, creation.rating, creation.missing, key)
    connection.execute("UPDATE creations SET shelf = ?, star = ?, rating = ?, missing = ? WHERE key = ?", state)
    connection.execute("UPDATE details SET tags = ? WHERE key = ?", (_tags_json(creation.tags), key))
    connection.execute("UPDATE words SET tags = ? WHERE rowid = ?", (query.to_index_text(" ".join(creation.tags)), key))
    _write_tags(connection, key, creation.tags)


def write_file_stamp(connection: sqlite3.Connection, home: Home, path: Path, stamp: str, creation: str = "") -> None:
    """Store the stamp of a file whose creation is known, so that a sweep need not read it."""
    name = relative_path(home, path)
    if creation:
        connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (name, stamp, creation))
    else:
        connection.execute("UPDATE files SET stamp = ? WHERE path = ?", (stamp, name))


def delete_file_stamp(connection: sqlite3.Connection, home: Home, path: Path) -> None:
    connection.execute("DELETE FROM files WHERE path = ?", (relative_path(home, path),))


def find_ids(
    connection: sqlite3.Connection,
    search: query.Query,
    *,
    kind: CreationKind | None = None,
    starred: bool = False,
    trashed: bool = False,
    limit: int = -1,
    before: str | None = None,
) -> list[str]:
    """Return the ids of matching creations, newest first."""
    shelf = TRASHED if trashed else HIDDEN if kind is CreationKind.FILE else SHOWN
    where, values = ["c.shelf = ?", *search.where], [shelf, *search.values]
    if kind:
        where.append("c.kind = ?")
        values.append(kind.value)
    if shelf == HIDDEN:
        where.append("c.missing = 0")
    if starred:
        where.append("c.star = 1")
    if before:
        where.append("c.key < (SELECT key FROM creations WHERE id = ?)")
        values.append(before)
    table, order = "creations c", "c.key"
    if search.match:
        table, order = "words w CROSS JOIN creations c ON c.key = w.rowid", "w.rowid"
        where.insert(0, "w.words MATCH ?")
        values.insert(0, search.match)
    inner = f"SELECT c.id AS id FROM {table} WHERE {' AND '.join(where)} ORDER BY {order} DESC LIMIT ?"
    # One long text is several times faster to fetch than 100,000 rows.
    (text,) = connection.execute(f"SELECT group_concat(id, ' ') FROM ({inner})", [*values, limit]).fetchone()
    return text.split(" ") if text else []


def update_path(connection: sqlite3.Connection, home: Home, creation: str, path: Path) -> None:
    """Update the path of a creation."""
    statement = "UPDATE details SET path = ? WHERE key = (SELECT key FROM creations WHERE id = ?)"
    connection.execute(statement, (relative_path(home, path), creation))


def read_rows(connection: sqlite3.Connection, home: Home, ids: Iterable[str]) -> list[Creation]:
    """Return the known creations of these ids, in the order given."""
    ordered_ids = list(ids)
    creations: dict[str, Creation] = {}
    for start in range(0, len(ordered_ids), 500):
        part = ordered_ids[start : start + 500]
        for row in connection.execute(f"SELECT {_COLUMNS} {_FROM} WHERE c.id IN ({_placeholders(part)})", part):
            creations[row[0]] = _creation_from_row(home, row)
    return [creations[id] for id in ordered_ids if id in creations]


def relative_path(home: Home, path: Path) -> str:
    return path.relative_to(home.library).as_posix()


def parents_of(recipe: Recipe) -> list[str]:
    """Return the ids that a recipe names: its parents, its inputs, and trained models among its parameters."""
    names = [*recipe.parents, *recipe.inputs.values()]
    for value in recipe.params.values():
        names += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
    ids = (name.removeprefix(REFERENCE) for name in names)
    return list(dict.fromkeys(id for id in ids if len(id) == 64 and not set(id) - set("0123456789abcdef")))


def _creation_from_row(home: Home, row: tuple[Any, ...]) -> Creation:
    id, path, kind, tool, title, recipe, *numbers, created, star, rating, tags, missing, model = row
    width, height, duration, size = numbers
    return Creation(
        id=id,
        path=str(home.library / path),
        kind=CreationKind(kind),
        tool=tool,
        title=title,
        recipe=_parse_recipe(recipe),
        width=width,
        height=height,
        duration=duration,
        size=size,
        created=created,
        star=bool(star),
        rating=rating,
        tags=tuple(msgspec.json.decode(tags)),
        trashed=path.startswith(f"{home.trash.name}/"),
        missing=bool(missing),
        model_kind=model,
    )


def _parse_recipe(text: str) -> Recipe | None:
    try:
        return Recipe.from_json(text) if text else None
    except BadInput:
        return None


def _delete_key(connection: sqlite3.Connection, key: int) -> None:
    connection.execute("DELETE FROM words WHERE rowid = ?", (key,))
    connection.execute("DELETE FROM creations WHERE key = ?", (key,))


def _write_tags(connection: sqlite3.Connection, key: int, tags: Iterable[str]) -> None:
    connection.execute("DELETE FROM tags WHERE key = ?", (key,))
    connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [(tag.casefold(), key) for tag in tags])


def _tags_json(tags: tuple[str, ...]) -> str:
    return msgspec.json.encode(tags).decode()


def _placeholders(values: Iterable[Any]) -> str:
    return ", ".join("?" for _ in values)
