"""What a drop or a paste brings: files, or a picture without a file."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QImage


def is_welcome(data: QMimeData) -> bool:
    return data.hasImage() or any(url.isLocalFile() for url in data.urls())


def dropped_paths(data: QMimeData) -> list[Path]:
    """The local files among what was dropped."""
    return [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]


def dropped_image(data: QMimeData) -> QImage | None:
    """The picture itself, as browsers give it beside an address on the web."""
    image = data.imageData()
    return image if isinstance(image, QImage) and not image.isNull() else None
