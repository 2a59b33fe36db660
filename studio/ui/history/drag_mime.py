"""The MIME data of creations that are dragged or copied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, QMetaType, QMimeData, QUrl

from studio.library.creation import Creation, CreationKind

_PICTURES = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
    ".avif": "image/avif", ".tif": "image/tiff", ".tiff": "image/tiff", ".bmp": "image/bmp",
}  # fmt: skip


class CreationMimeData(QMimeData):
    """File URLs. The bytes of a single picture are read when they are requested."""

    def __init__(self, creations: Sequence[Creation]) -> None:
        super().__init__()
        paths = [Path(creation.path) for creation in creations]
        self.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        single = len(creations) == 1 and creations[0].kind is CreationKind.IMAGE
        self._path = paths[0] if single else None
        self._picture = _PICTURES.get(paths[0].suffix.lower(), "") if single else ""

    def formats(self) -> list[str]:
        return [*super().formats(), *([self._picture] if self._picture else [])]

    def hasFormat(self, mimetype: str) -> bool:
        return mimetype in self.formats()

    def retrieveData(self, mimetype: str, preferred: QMetaType | QMetaType.Type) -> Any:
        if self._path is not None and mimetype == self._picture:
            try:
                return QByteArray(self._path.read_bytes())
            except OSError:
                return None
        return super().retrieveData(mimetype, preferred)
