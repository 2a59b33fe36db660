"""Small pictures of files, decoded away from the window's thread."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, QRunnable, QSize, Qt, QThreadPool, Signal
from PySide6.QtGui import QImage, QImageIOHandler, QImageReader

from studio.core.errors import StudioError
from studio.core.images import MAX_PIXELS, open_picture

_KEPT = 128


@dataclass(frozen=True)
class Thumbnail:
    """`image` fits into the side that was asked for; null with `error`, a sentence, where it cannot be read."""

    path: str
    image: QImage
    width: int = 0
    height: int = 0
    bytes: int = 0
    error: str = ""


class ThumbnailLoader(QObject):
    """Asked for a path, it emits `ready` later, also for pictures that it remembers."""

    ready = Signal(object)

    def __init__(self, side: int = 192, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._side = side
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(2)
        self._known: OrderedDict[tuple[str, int, int], Thumbnail] = OrderedDict()
        self._closed = False

    def ask(self, path: str) -> None:
        if not self._closed:
            self._pool.start(_Task(self, path, self._side))

    def close(self) -> None:
        self._closed = True
        self._pool.clear()
        self._pool.waitForDone()

    def make(self, path: str) -> Thumbnail:
        """On a thread of the pool."""
        try:
            status = Path(path).stat()
            key = (path, status.st_size, status.st_mtime_ns)
        except OSError:
            return Thumbnail(path, QImage(), error=f"{Path(path).name} is no longer there.")
        if (known := self._known.get(key)) is not None:
            return known
        made = replace(_read(path, self._side), bytes=status.st_size)
        self._known[key] = made
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return made


class _Task(QRunnable):
    def __init__(self, owner: ThumbnailLoader, path: str, side: int) -> None:
        super().__init__()
        self._owner, self._path, self._side = owner, path, side

    def run(self) -> None:
        self._owner.ready.emit(self._owner.make(self._path))


def _read(path: str, side: int) -> Thumbnail:
    reader = QImageReader(path)
    reader.setAutoTransform(True)
    size = reader.size()
    if size.isValid() and size.width() * size.height() <= MAX_PIXELS:
        reader.setScaledSize(size.scaled(QSize(side, side), Qt.AspectRatioMode.KeepAspectRatio).expandedTo(QSize(1, 1)))
        image = reader.read()
        if not image.isNull():
            turned = bool(reader.transformation().value & QImageIOHandler.Transformation.TransformationRotate90.value)
            width, height = (size.height(), size.width()) if turned else (size.width(), size.height())
            return Thumbnail(path, image, width, height)
    return _read_with_pillow(path, side)


def _read_with_pillow(path: str, side: int) -> Thumbnail:
    """What Qt cannot read, such as AVIF and CMYK; and the sentence for what nobody can."""
    try:
        picture = open_picture(path)
    except StudioError as error:
        return Thumbnail(path, QImage(), error=str(error))
    width, height = picture.size
    picture.thumbnail((side, side))
    small = picture.convert("RGBA")
    image = QImage(small.tobytes(), small.width, small.height, QImage.Format.Format_RGBA8888).copy()
    return Thumbnail(path, image, width, height)
