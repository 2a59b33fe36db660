"""Thumbnails of creations, read and decoded off the UI thread, within a budget of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QObject, QRect, QSize, Qt, Signal
from PySide6.QtGui import QImage, QImageReader

from studio.core.errors import StudioError
from studio.state.tasks import Tasks

BUDGET = 128 * 2**20
SIDES = (64, 96, 128, 192, 256)
"""Thumbnails are kept as squares of one of these, in pixels: drawing a larger one costs more each time."""
MAX_WAITING = 256
"""Requests that wait. Older ones were scrolled past, and are made again when they come back into view."""


class ThumbnailCache(QObject):
    """`fetch` gives a thumbnail's JPEG bytes or None; it is called on other threads."""

    ready = Signal(str, int)
    """The id of a creation whose thumbnail was read or does not exist, and the row that requested it."""

    def __init__(
        self, fetch: Callable[[str], bytes | None], parent: QObject | None = None, budget: int = BUDGET
    ) -> None:
        super().__init__(parent)
        self._fetch = fetch
        self._budget = budget
        self._side = SIDES[-1]
        self._images: OrderedDict[str, QImage] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, int] = OrderedDict()
        self._reading: set[str] = set()
        self._tasks = Tasks("thumbnails", threads=2, drop_pending=True, parent=self)

    @property
    def size_in_bytes(self) -> int:
        """Bytes of the thumbnails in memory."""
        return self._bytes

    def get(self, creation: str, row: int = -1) -> QImage | None:
        """Return a thumbnail if it is in memory, a null image if there is none; otherwise request it.

        The last request comes first, since its row is in view.
        """
        image = self._images.get(creation)
        if image is not None:
            self._images.move_to_end(creation)
            return image
        if creation in self._reading:
            return None
        with self._lock:
            new = creation not in self._waiting
            self._waiting[creation] = row
            self._waiting.move_to_end(creation)
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popitem(last=False)
        if new:
            self._tasks.run(self._read_next, self._add)
        return None

    def set_side(self, pixels: int) -> None:
        """Set the side at which thumbnails are drawn. Those of another size are read again."""
        side = next((side for side in SIDES if side >= pixels), SIDES[-1])
        if side != self._side:
            self._side = side
            self._images.clear()
            self._bytes = 0

    def forget(self, creation: str) -> None:
        image = self._images.pop(creation, None)
        if image is not None:
            self._bytes -= _count_bytes(image)

    def close(self) -> None:
        self._tasks.close()

    def _read_next(self) -> tuple[str, int, QImage, int] | None:
        with self._lock:
            if not self._waiting:
                return None
            creation, row = self._waiting.popitem()
            self._reading.add(creation)
        side = self._side
        try:
            content = self._fetch(creation)
        except StudioError:
            content = None
        return creation, row, decode(content, side) if content else QImage(), side

    def _add(self, result: tuple[str, int, QImage, int] | None) -> None:
        if result is None:
            return
        creation, row, image, side = result
        self._reading.discard(creation)
        if side != self._side:
            self.get(creation, row)
            return
        self.forget(creation)
        self._images[creation] = image
        self._bytes += _count_bytes(image)
        while self._bytes > self._budget and len(self._images) > 1:
            self._bytes -= _count_bytes(self._images.popitem(last=False)[1])
        self.ready.emit(creation, row)


def decode(content: bytes, side: int) -> QImage:
    """Decode the middle of a picture as a square of `side` pixels; null for other content.

    A reader scales and crops without the interpreter's lock, where `QImage` holds it.
    """
    buffer = QBuffer()
    buffer.setData(QByteArray(content))
    buffer.open(QIODevice.OpenModeFlag.ReadOnly)
    reader = QImageReader(buffer)
    size = reader.size()
    if size.isEmpty():
        return QImage()
    whole = size.scaled(QSize(side, side), Qt.AspectRatioMode.KeepAspectRatioByExpanding)
    reader.setScaledSize(whole)
    reader.setScaledClipRect(QRect((whole.width() - side) // 2, (whole.height() - side) // 2, side, side))
    return reader.read()


def _count_bytes(image: QImage) -> int:
    return max(image.sizeInBytes(), 64)
