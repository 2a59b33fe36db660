"""Thumbnails: JPEGs of at most 256 pixels a side in a database of their own, remade at will."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from studio.library import sqlite_pool

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 256
GROUND = (36, 36, 36)
"""What shows behind transparent pictures: the window's neutral grey."""


def jpeg(image: Image) -> bytes:
    """A thumbnail of an 8-bit picture of mode L, RGB or RGBA."""
    import PIL.Image

    from studio.library.formats import pixels

    width, height = image.size
    scale = min(1.0, SIDE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = image if scale == 1.0 else image.resize(size, PIL.Image.Resampling.BICUBIC, reducing_gap=2.0)
    packed = io.BytesIO()
    pixels.opaque(small, GROUND).save(packed, "JPEG", quality=85)
    return packed.getvalue()


class ThumbnailDb:
    """The database of thumbnails. What goes wrong in it costs a thumbnail, never more."""

    def __init__(self, file: Path) -> None:
        self._pool = sqlite_pool.Pool(file, _prepare)

    def put(self, creation: str, content: bytes) -> None:
        with suppress(sqlite3.Error, OSError), self._pool.begin() as connection:
            connection.execute("INSERT OR REPLACE INTO thumbs VALUES (?, ?)", (creation, content))

    def get(self, creation: str) -> bytes | None:
        try:
            with self._pool.connect() as connection:
                row = connection.execute("SELECT jpeg FROM thumbs WHERE id = ?", (creation,)).fetchone()
        except sqlite3.Error as error:
            if sqlite_pool.is_corruption(error):
                self._start_again()
            return None
        return bytes(row[0]) if row else None

    def drop(self, creations: Iterable[str]) -> None:
        with suppress(sqlite3.Error, OSError), self._pool.begin() as connection:
            connection.executemany("DELETE FROM thumbs WHERE id = ?", [(creation,) for creation in creations])

    def close(self) -> None:
        self._pool.close()

    def _start_again(self) -> None:
        self._pool.close()
        with suppress(OSError):
            sqlite_pool.remove_database(self._pool.file)
        self._pool = sqlite_pool.Pool(self._pool.file, _prepare)


def put(file: Path, creation: str, content: bytes) -> None:
    """Keeps one thumbnail in the database `file`."""
    thumbs = ThumbnailDb(file)
    thumbs.put(creation, content)
    thumbs.close()


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA page_size = 16384")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE IF NOT EXISTS thumbs (id TEXT PRIMARY KEY, jpeg BLOB NOT NULL)")
