"""Read files and images from a drag or the clipboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData
from PySide6.QtGui import QImage, QKeyEvent, QKeySequence

from studio.core.images import IMAGE_SUFFIXES

PICTURES = tuple(sorted(IMAGE_SUFFIXES))


def claims_paste(event: QEvent) -> bool:
    """Check whether the event announces Paste, and accept it, so that the focused widget gets the key."""
    is_override = event.type() == QEvent.Type.ShortcutOverride
    if is_override and isinstance(event, QKeyEvent) and event.matches(QKeySequence.StandardKey.Paste):
        event.accept()
        return True
    return False


def list_files(data: QMimeData) -> list[Path]:
    """Return the local files in order. Web addresses are left out."""
    return [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]


def list_pictures(data: QMimeData) -> list[Path]:
    """Return the local files that have the extension of a picture."""
    return [path for path in list_files(data) if path.suffix.lower() in PICTURES]


def read_image(data: QMimeData) -> QImage | None:
    """Return an image without a file, such as a screenshot or an image from a browser; None if there is none."""
    if not data.hasImage():
        return None
    image = data.imageData()
    return image if isinstance(image, QImage) and not image.isNull() else None


def has_files_or_image(data: QMimeData) -> bool:
    """Check whether there is a local file of any kind, or an image without a file."""
    return data.hasImage() or bool(list_files(data))


def has_picture(data: QMimeData) -> bool:
    """Check whether there is a picture file, or an image without a file."""
    return bool(list_pictures(data)) or data.hasImage()


def make_name_filter(extensions: Sequence[str], title: str) -> str:
    """Return the name filter of a file dialog; without extensions it accepts all files."""
    return f"{title} ({' '.join(f'*{extension}' for extension in extensions)})" if extensions else "All files (*)"
