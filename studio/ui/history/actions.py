"""What can be done with the creations of the history. What destroys can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QFileDialog, QWidget

from studio.library.creation import Creation, CreationKind
from studio.state.library.history_model import HistoryModel
from studio.state.undo_stack import UndoStack
from studio.ui.history.drag_mime import CreationMimeData

_FORMATS = {
    CreationKind.IMAGE: "PNG (*.png);;JPEG (*.jpg);;WebP (*.webp);;AVIF (*.avif);;TIFF (*.tif)",
    CreationKind.ANIMATION: "MP4 (*.mp4);;WebP (*.webp);;GIF (*.gif)",
    CreationKind.TEXT: "Markdown (*.md);;Text (*.txt)",
}


class HistoryActions(QObject):
    told = Signal(str, bool)
    """A sentence about what was done, and whether it can be undone."""

    def __init__(self, model: HistoryModel, undo: UndoStack, parent: QWidget) -> None:
        super().__init__(parent)
        self._model = model
        self._undo = undo
        self._window = parent

    def star(self, creations: Sequence[Creation]) -> None:
        """Stars them; if all have a star already, takes it from them."""
        on = not all(creation.star for creation in creations)
        if creations:
            self._model.star([creation.id for creation in creations], on)

    def rate(self, creations: Sequence[Creation], rating: int) -> None:
        self._model.rate([creation.id for creation in creations], rating)

    def tag(self, creation: Creation, tags: Sequence[str]) -> None:
        before, after = creation.tags, tuple(tags)
        self._undo.do(
            "changing tags",
            lambda: self._model.tag([creation.id], after),
            lambda: self._model.tag([creation.id], before),
        )

    def trash(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        moved = list(ids)
        self._undo.do(
            f"moving {_number(moved)} to the trash",
            lambda: self._model.trash(moved),
            lambda: self._model.restore(moved),
        )
        self.told.emit(f"Moved {_number(moved)} to the trash.", True)

    def restore(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        moved = list(ids)
        self._undo.do(
            f"restoring {_number(moved)}", lambda: self._model.restore(moved), lambda: self._model.trash(moved)
        )
        self.told.emit(f"Restored {_number(moved)}.", True)

    def undo(self) -> None:
        self._undo.undo()

    def copy(self, creations: Sequence[Creation]) -> None:
        there = [creation for creation in creations if not creation.missing]
        if there:
            QGuiApplication.clipboard().setMimeData(CreationMimeData(there))
            self.told.emit("Copied.", False)

    def show_in_folder(self, creation: Creation) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(Path(creation.path).parent)))

    def export(self, creation: Creation) -> None:
        """Asks where to; the extension decides the format, and the recipe goes along."""
        path = Path(creation.path)
        dialog = QFileDialog(self._window, "Export", str(Path.home() / path.name))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        if creation.kind is CreationKind.MODEL:
            dialog.setFileMode(QFileDialog.FileMode.Directory)
        else:
            dialog.setNameFilters(_filters(path.suffix, _FORMATS.get(creation.kind, "")))
            dialog.setDefaultSuffix(path.suffix.removeprefix("."))
        dialog.fileSelected.connect(lambda chosen: self._export_to(creation, Path(chosen)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _export_to(self, creation: Creation, to: Path) -> None:
        self._model.export(creation.id, to, lambda written: self.told.emit(f"Exported to {written.name}.", False))


def _filters(suffix: str, formats: str) -> list[str]:
    """The file's own format first."""
    known = [one for one in formats.split(";;") if one]
    return sorted(known, key=lambda one: f"*{suffix})" not in one) or ["All files (*)"]


def _number(ids: Sequence[str]) -> str:
    return "1 creation" if len(ids) == 1 else f"{len(ids):,} creations"
