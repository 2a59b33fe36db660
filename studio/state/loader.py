"""Reading off the UI thread. What nobody waits for any more is dropped."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Qt, Signal

T = TypeVar("T")


class Loader(QObject):
    """A few threads. Unlike `Background`, which finishes what it was given, this only reads.

    What is done here should release the interpreter's lock (files, decoding, SQLite) or be
    short: a thread does not help against code that holds it.
    """

    _ended = Signal(object, object)

    def __init__(self, name: str, threads: int = 1, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._closed = False
        self._ended.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def run(
        self,
        work: Callable[[], T],
        then: Callable[[T], None] | None = None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Calls `work` on a thread, then `then` with its result, or `failed`, on this object's thread.

        An exception without `failed` is raised there. After `close` nothing runs any more.
        """
        if not self._closed:
            future = self._pool.submit(work)
            future.add_done_callback(lambda done: self._announce(done, (then, failed)))

    def close(self) -> None:
        """Waits for what runs, drops what waits. No result is delivered afterwards."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _announce(self, future: Future[Any], receivers: object) -> None:
        if not self._closed and not future.cancelled():
            self._ended.emit(future, receivers)

    def _deliver(self, future: Future[Any], receivers: tuple[Any, Any]) -> None:
        if self._closed:
            return
        then, failed = receivers
        error = future.exception()
        if error is None:
            if then is not None:
                then(future.result())
        elif failed is not None and isinstance(error, Exception):
            failed(error)
        else:
            raise error
