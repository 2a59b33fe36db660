"""SQLite as the library uses it: WAL, connections that threads borrow, one writer at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_SECONDS = 30.0
"""How long to wait for another process that writes."""


class Pool:
    """Connections to one database file. Any thread may borrow one; each is used by one at a time.

    `prepare` is called with each new connection, before anything else.
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
        connection = self._acquire()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._release(connection)

    @contextmanager
    def begin(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed at the end, rolled back when an exception leaves the block."""
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
    """Removes a database with what belongs to it. The caller holds no connection."""
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def is_corruption(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault, rather than the moment or the query."""
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
