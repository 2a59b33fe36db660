"""Tasks on a few threads, with their results delivered back on the thread of their owner."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from PySide6.QtCore import QObject, Qt, Signal

from studio.core.errors import StudioError

T = TypeVar("T")


class _Ended(NamedTuple):
    future: Future[Any]
    then: Callable[[Any], None] | None
    failed: Callable[[StudioError], None] | None


class Tasks(QObject):
    """Runs work that may touch the disk. With one thread, the tasks run in their order.

    `on_error` gets each exception that a task has no `failed` for; without it, the exception is raised on this
    object's thread. With `drop_pending`, `close` drops the tasks that wait and all results: for work that only reads.

    A task should release the interpreter's lock (files, decoding, SQLite) or be short: a thread does not help
    against code that holds it.
    """

    _ended = Signal(object)

    def __init__(
        self,
        name: str,
        threads: int = 1,
        *,
        drop_pending: bool = False,
        on_error: Callable[[BaseException], None] | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._drop_pending = drop_pending
        self._on_error = on_error
        self._closed = False
        self._ended.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def run(
        self,
        work: Callable[[], T],
        then: Callable[[T], None] | None = None,
        failed: Callable[[StudioError], None] | None = None,
    ) -> None:
        """Call `work` on a thread, then `then` with its result, or `failed` with its StudioError, on this thread.

        Does nothing after `close`.
        """
        if not self._closed:
            future = self._pool.submit(work)
            future.add_done_callback(lambda ended: self._announce(_Ended(ended, then, failed)))

    def close(self) -> None:
        """Wait for the tasks that run, and for those that wait unless they are dropped."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=self._drop_pending)

    def _announce(self, ended: _Ended) -> None:
        if not (self._closed and self._drop_pending) and not ended.future.cancelled():
            self._ended.emit(ended)

    def _deliver(self, ended: _Ended) -> None:
        if self._closed and self._drop_pending:
            return
        error = ended.future.exception()
        if error is None:
            if ended.then is not None:
                ended.then(ended.future.result())
        elif isinstance(error, StudioError) and ended.failed is not None:
            ended.failed(error)
        elif self._on_error is not None:
            self._on_error(error)
        else:
            raise error
