"""Thumbnails of picture files, decoded on two threads."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, QSize, Qt, Signal
from PySide6.QtGui import QImage, QImageIOHandler, QImageReader

from studio.core.errors import StudioError
from studio.core.images import MAX_PIXELS, open_picture
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

    def __init__(self, side: int = 192, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._side = side
        self._tasks = Tasks("file-thumbnails", threads=2, drop_pending=True, parent=self)
        self._cache: OrderedDict[tuple[str, int, int], Thumbnail] = OrderedDict()

    def request(self, path: str) -> None:
        self._tasks.run(lambda: self.load(path), self.ready.emit)

    def close(self) -> None:
        self._tasks.close()

    def load(self, path: str) -> Thumbnail:
        """Return the thumbnail of a file. Called on one of the threads."""
        try:
            status = Path(path).stat()
            key = (path, status.st_size, status.st_mtime_ns)
        except OSError:
            return Thumbnail(path, QImage(), error=f"{Path(path).name} is missing. It may have been moved or deleted.")
        if (cached := self._cache.get(key)) is not None:
            return cached
        thumbnail = replace(_read(path, self._side), bytes=status.st_size)
        self._cache[key] = thumbnail
        while len(self._cache) > _CACHE_SIZE:
            self._cache.popitem(last=False)
        return thumbnail


def _read(path: str, side: int) -> Thumbnail:
    reader = QImageReader(path)
    reader.setAutoTransform(True)
    size = reader.size()
    if size.isValid() and size.width() * size.height() <= MAX_PIXELS:
        reader.setScaledSize(size.scaled(QSize(side, side), Qt.AspectRatioMode.KeepAspectRatio).expandedTo(QSize(1, 1)))
        image = reader.read()
        if not image.isNull():
            rotated = bool(reader.transformation().value & QImageIOHandler.Transformation.TransformationRotate90.value)
            width, height = (size.height(), size.width()) if rotated else (size.width(), size.height())
            return Thumbnail(path, image, width, height)
    return _read_with_pillow(path, side)


def _read_with_pillow(path: str, side: int) -> Thumbnail:
    """Read a format that Qt cannot, such as AVIF and CMYK. Pillow's error is the sentence for a damaged file."""
    try:
        picture = open_picture(path)
    except StudioError as error:
        return Thumbnail(path, QImage(), error=str(error))
    width, height = picture.size
    picture.thumbnail((side, side))
    small = picture.convert("RGBA")
    image = QImage(small.tobytes(), small.width, small.height, QImage.Format.Format_RGBA8888).copy()
    return Thumbnail(path, image, width, height)
