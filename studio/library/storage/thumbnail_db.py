"""The thumbnail database: JPEGs of at most 256 pixels a side, which can always be rendered again."""

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
BACKGROUND = (36, 36, 36)
"""Colour behind transparent images: the neutral grey of the window."""


def encode_thumbnail(image: Image) -> bytes:
    """Encode an 8-bit image of mode L, RGB or RGBA as a JPEG of at most `SIDE` pixels a side."""
    import PIL.Image

    from studio.library.formats import pixels

    width, height = image.size
    scale = min(1.0, SIDE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = image if scale == 1.0 else image.resize(size, PIL.Image.Resampling.BICUBIC, reducing_gap=2.0)
    packed = io.BytesIO()
    pixels.flatten_alpha(small, BACKGROUND).save(packed, "JPEG", quality=85)
    return packed.getvalue()


class ThumbnailDb:
    """Thumbnails by creation id. An error of the database loses a thumbnail and is never raised."""

    def __init__(self, file: Path) -> None:
        self._pool = sqlite_pool.Pool(file, _prepare_connection)

    def put(self, creation: str, content: bytes) -> None:
        """Store a JPEG under the id of its creation."""
        with suppress(sqlite3.Error, OSError), self._pool.begin() as connection:
            connection.execute("INSERT OR REPLACE INTO thumbs VALUES (?, ?)", (creation, content))

    def get(self, creation: str) -> bytes | None:
        try:
            with self._pool.connect() as connection:
                row = connection.execute("SELECT jpeg FROM thumbs WHERE id = ?", (creation,)).fetchone()
        except sqlite3.Error as error:
            if sqlite_pool.is_corruption(error):
                self._recreate()
            return None
        return bytes(row[0]) if row else None

    def delete(self, creations: Iterable[str]) -> None:
        with suppress(sqlite3.Error, OSError), self._pool.begin() as connection:
            connection.executemany("DELETE FROM thumbs WHERE id = ?", [(creation,) for creation in creations])

    def close(self) -> None:
        self._pool.close()

    def _recreate(self) -> None:
        self._pool.close()
        with suppress(OSError):
            sqlite_pool.remove_database(self._pool.file)
        self._pool = sqlite_pool.Pool(self._pool.file, _prepare_connection)


def store_thumbnail(file: Path, creation: str, content: bytes) -> None:
    """Store one thumbnail in the database `file`."""
    database = ThumbnailDb(file)
    database.put(creation, content)
    database.close()


def _prepare_connection(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA page_size = 16384")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE IF NOT EXISTS thumbs (id TEXT PRIMARY KEY, jpeg BLOB NOT NULL)")
