"""Work that may touch the disk, off the window's thread, with its result delivered back on it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

from PySide6.QtCore import QObject, Qt, Signal

T = TypeVar("T")
Then: TypeAlias = Callable[[Any], None] | None
Failed: TypeAlias = Callable[[Exception], None] | None


class Background(QObject):
    """With one thread, one piece of work after the other, in the order in which they were given.

    `failed` gets the exception that ended the work; without it, `crashed` does.
    """

    crashed = Signal(object)
    _done = Signal(object)

    def __init__(self, name: str, threads: int = 1, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._closed = False
        self._done.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def run(
        self,
        work: Callable[[], T],
        then: Callable[[T], None] | None = None,
        failed: Failed = None,
    ) -> None:
        if self._closed:
            return
        future = self._pool.submit(work)
        future.add_done_callback(lambda ended: self._post(ended, then, failed))

    def close(self) -> None:
        """Waits for the work that was begun; what waits behind it is done too."""
        self._closed = True
        self._pool.shutdown(wait=True)

    def _post(self, ended: Future[Any], then: Then, failed: Failed) -> None:
        self._done.emit((ended, then, failed))

    def _deliver(self, parcel: tuple[Future[Any], Then, Failed]) -> None:
        ended, then, failed = parcel
        error = ended.exception()
        if error is None:
            if then is not None:
                then(ended.result())
        elif isinstance(error, Exception) and failed is not None:
            failed(error)
        else:
            self.crashed.emit(error)
