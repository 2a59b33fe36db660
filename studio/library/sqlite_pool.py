"""A pool of SQLite connections for many threads, with one writer at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_SECONDS = 30.0
"""Seconds to wait while another process writes."""


class Pool:
    """Connections to one database file. Any thread may use the pool; each connection serves one thread at a time.

    `prepare` is called once for each new connection.
    """

    def __init__(self, file: Path, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self.file = file
        self._prepare = prepare
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._closed = False

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for reading. It is closed if the block raises."""
        connection = self._acquire()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._release(connection)

    @contextmanager
    def begin(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection inside a transaction. Commits at the end and rolls back if the block raises."""
        with self._write_lock, self.connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _acquire(self) -> sqlite3.Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        connection = sqlite3.connect(self.file, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _release(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()


def remove_database(file: Path) -> None:
    """Delete a database and its WAL files. No connection may be open."""
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def is_corruption(error: sqlite3.Error) -> bool:
    """Check whether the database file itself is corrupt."""
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
