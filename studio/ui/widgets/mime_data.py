"""What a drag or the clipboard holds, as the studio understands it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData
from PySide6.QtGui import QImage, QKeyEvent, QKeySequence

from studio.core.images import IMAGE_SUFFIXES

PICTURES = tuple(sorted(IMAGE_SUFFIXES))


def claims_paste(event: QEvent) -> bool:
    """Paste is meant for the widget that has the focus, not for the window: true when the event was taken for it."""
    asks = event.type() == QEvent.Type.ShortcutOverride
    if asks and isinstance(event, QKeyEvent) and event.matches(QKeySequence.StandardKey.Paste):
        event.accept()
        return True
    return False


def list_files(data: QMimeData) -> list[Path]:
    """The local files, in their order. Addresses on the web are left out."""
    return [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]


def list_pictures(data: QMimeData) -> list[Path]:
    return [path for path in list_files(data) if path.suffix.lower() in PICTURES]


def read_image(data: QMimeData) -> QImage | None:
    """The picture itself, where there is no file: a screenshot, or one dragged out of a browser."""
    if not data.hasImage():
        return None
    held = data.imageData()
    return held if isinstance(held, QImage) and not held.isNull() else None


def has_files_or_image(data: QMimeData) -> bool:
    """Check whether there is a local file of any kind, or an image without a file."""
    return data.hasImage() or bool(list_files(data))


def has_picture(data: QMimeData) -> bool:
    return bool(list_pictures(data)) or data.hasImage()


def make_name_filter(extensions: Sequence[str], what: str) -> str:
    """The filter of a file dialog."""
    return f"{what} ({' '.join(f'*{extension}' for extension in extensions)})" if extensions else "All files (*)"
