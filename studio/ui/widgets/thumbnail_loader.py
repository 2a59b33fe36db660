"""Thumbnails of image files, which a process of its own decodes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from studio.core.errors import StudioError
from studio.library.index.file_reader import FileReader
from studio.state.tasks import Tasks

_CACHE_SIZE = 128


@dataclass(frozen=True)
class Thumbnail:
    """A thumbnail, and the size of its file.

    `image` fits into a square of the loader's side. It is null if the file cannot be read; `error` then says why.
    `width` and `height` are those of the picture in pixels, `bytes` is the size of the file.
    """

    path: str
    image: QImage
    width: int = 0
    height: int = 0
    bytes: int = 0
    error: str = ""


class ThumbnailLoader(QObject):
    """Load thumbnails on request, and cache the latest.

    `ready` is always emitted later than `request` returns, for cached thumbnails too.
    """

    ready = Signal(object)

    def __init__(self, reader: FileReader, side: int = 192, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._reader = reader
        self._side = side
        self._tasks = Tasks("file-thumbnails", drop_pending=True, parent=self)
        self._cache: OrderedDict[tuple[str, int, int], Thumbnail] = OrderedDict()

    def request(self, path: str) -> None:
        self._tasks.run(lambda: self.load(path), self.ready.emit)

    def close(self) -> None:
        self._tasks.close()

    def load(self, path: str) -> Thumbnail:
        """Return the thumbnail of a file. Called on a thread."""
        try:
            status = Path(path).stat()
            key = (path, status.st_size, status.st_mtime_ns)
        except OSError:
            return Thumbnail(path, QImage(), error=f"{Path(path).name} is missing. It may have been moved or deleted.")
        if (cached := self._cache.get(key)) is not None:
            return cached
        thumbnail = replace(self._read(path), bytes=status.st_size)
        self._cache[key] = thumbnail
        while len(self._cache) > _CACHE_SIZE:
            self._cache.popitem(last=False)
        return thumbnail

    def _read(self, path: str) -> Thumbnail:
        try:
            tile = self._reader.render_tile(Path(path), self._side)
        except StudioError as error:
            return Thumbnail(path, QImage(), error=str(error))
        image = QImage(tile.pixels, tile.width, tile.height, 4 * tile.width, QImage.Format.Format_RGBA8888).copy()
        return Thumbnail(path, image, tile.full_width, tile.full_height)
