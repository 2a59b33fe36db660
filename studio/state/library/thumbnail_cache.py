"""Thumbnails of creations, fetched and decoded off the UI thread, within a budget of bytes."""

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
WAITING = 256
"""Requests that are kept. Older ones were scrolled past, and are asked for again if they come back."""


class ThumbnailCache(QObject):
    """`fetch` gives a thumbnail's JPEG bytes or None; it is called on other threads."""

    ready = Signal(str, int)
    """A thumbnail has come, or will never: the creation's id, and the row that asked for it."""

    def __init__(
        self, fetch: Callable[[str], bytes | None], parent: QObject | None = None, budget: int = BUDGET
    ) -> None:
        super().__init__(parent)
        self._fetch = fetch
        self._budget = budget
        self._side = SIDES[-1]
        self._images: OrderedDict[str, QImage] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, int] = OrderedDict()
        self._busy: set[str] = set()
        self._tasks = Tasks("thumbnails", threads=2, drop_pending=True, parent=self)

    @property
    def held(self) -> int:
        """Bytes of pictures in memory."""
        return self._held

    def get(self, creation: str, row: int = -1) -> QImage | None:
        """The thumbnail if it is here; a null image if there is none. Otherwise it is asked for.

        What was asked for last comes first, for that is what is in view.
        """
        image = self._images.get(creation)
        if image is not None:
            self._images.move_to_end(creation)
            return image
        if creation in self._busy:
            return None
        with self._lock:
            new = creation not in self._waiting
            self._waiting[creation] = row
            self._waiting.move_to_end(creation)
            if len(self._waiting) > WAITING:
                self._waiting.popitem(last=False)
        if new:
            self._tasks.run(self._next, self._came)
        return None

    def set_side(self, pixels: int) -> None:
        """How large they will be drawn. Those of another size are made again."""
        side = next((side for side in SIDES if side >= pixels), SIDES[-1])
        if side != self._side:
            self._side = side
            self._images.clear()
            self._held = 0

    def forget(self, creation: str) -> None:
        image = self._images.pop(creation, None)
        if image is not None:
            self._held -= _size(image)

    def close(self) -> None:
        self._tasks.close()

    def _next(self) -> tuple[str, int, QImage, int] | None:
        with self._lock:
            if not self._waiting:
                return None
            creation, row = self._waiting.popitem()
            self._busy.add(creation)
        side = self._side
        try:
            content = self._fetch(creation)
        except StudioError:
            content = None
        return creation, row, decode(content, side) if content else QImage(), side

    def _came(self, result: tuple[str, int, QImage, int] | None) -> None:
        if result is None:
            return
        creation, row, image, side = result
        self._busy.discard(creation)
        if side != self._side:
            self.get(creation, row)
            return
        self.forget(creation)
        self._images[creation] = image
        self._held += _size(image)
        while self._held > self._budget and len(self._images) > 1:
            self._held -= _size(self._images.popitem(last=False)[1])
        self.ready.emit(creation, row)


def decode(content: bytes, side: int) -> QImage:
    """The middle as a square of `side` pixels; null for what is no picture.

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


def _size(image: QImage) -> int:
    return max(image.sizeInBytes(), 64)
