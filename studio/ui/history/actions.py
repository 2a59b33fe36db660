"""The actions on creations in the history. Moving to the trash can be undone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget

from studio.core.export_include import Include
from studio.library.creation import Creation, CreationKind
from studio.library.storage.writer import sanitize_name
from studio.state.library.history_model import HistoryModel
from studio.state.undo_stack import UndoStack
from studio.ui.history.drag_mime import CreationMimeData

_FORMATS = {
    CreationKind.IMAGE: "PNG (*.png);;JPEG (*.jpg);;WebP (*.webp);;AVIF (*.avif);;TIFF (*.tif)",
    CreationKind.ANIMATION: "MP4 (*.mp4);;WebP (*.webp);;GIF (*.gif);;APNG (*.png)",
    CreationKind.TEXT: "Markdown (*.md);;Text (*.txt)",
}


class HistoryActions(QObject):
    notified = Signal(str, bool)
    """Emitted with a sentence about an action, and whether it can be undone."""
    include_chosen = Signal(str)
    """What exports include from now on."""

    def __init__(self, model: HistoryModel, undo: UndoStack, parent: QWidget) -> None:
        super().__init__(parent)
        self._model = model
        self._undo = undo
        self._window = parent
        self.count_jobs: Callable[[Sequence[str]], int] = lambda _: 0
        """Counts the jobs in the queue that need one of these creations."""
        self.export_include = Include.EVERYTHING
        """The last choice of what an export includes."""

    def star(self, creations: Sequence[Creation]) -> None:
        """Star the creations, or remove the stars if all have one."""
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

    def ask_for_name(self, creation: Creation) -> None:
        """Ask for another name of a trained model."""
        dialog = QInputDialog(self._window)
        dialog.setWindowTitle("Rename")
        dialog.setLabelText("Name of the model:")
        dialog.setTextValue(creation.title)
        dialog.textValueSelected.connect(lambda name: self.rename(creation, name))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def rename(self, creation: Creation, name: str) -> None:
        """Give a trained model another name."""

        def keep_undo(renamed: Creation) -> None:
            before, after = creation.title, renamed.title
            if before != after:
                self._undo.do(
                    "renaming a model",
                    lambda: self._model.rename(creation.id, after),
                    lambda: self._model.rename(creation.id, before),
                )
                self.notified.emit(f"{before} is now called {after}.", True)

        self._model.rename(creation.id, name, keep_undo)

    def trash(self, ids: Sequence[str]) -> None:
        """Move creations to the trash. Asks first where jobs in the queue need a model among them."""
        if not ids:
            return
        targets = list(ids)
        if count := self.count_jobs(targets):
            ask_about_jobs(self._window, count, lambda: self._trash(targets))
        else:
            self._trash(targets)

    def _trash(self, targets: list[str]) -> None:
        def move(users: str) -> None:
            self._undo.do(
                f"moving {_count_creations(targets)} to the trash",
                lambda: self._model.trash(targets),
                lambda: self._model.restore(targets),
            )
            self.notified.emit(f"Moved {_count_creations(targets)} to the trash. {users}".strip(), True)

        self._model.describe_model_users(targets, move)

    def restore(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        targets = list(ids)
        self._undo.do(
            f"restoring {_count_creations(targets)}",
            lambda: self._model.restore(targets),
            lambda: self._model.trash(targets),
        )
        self.notified.emit(f"Restored {_count_creations(targets)}.", True)

    def undo(self) -> None:
        self._undo.undo()

    def copy(self, creations: Sequence[Creation]) -> None:
        available = [creation for creation in creations if not creation.missing]
        if available:
            QGuiApplication.clipboard().setMimeData(CreationMimeData(available))
            self.notified.emit("Copied.", False)

    def show_in_folder(self, creation: Creation) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(Path(creation.path).parent)))

    def export(self, creation: Creation) -> None:
        """Ask what to include and for a file, and export a creation. The extension decides the format."""
        from studio.ui.history.export_dialog import ExportDialog

        def choose(include: Include) -> None:
            self.export_include = include
            self.include_chosen.emit(include.value)
            self._ask_for_file(creation)

        ExportDialog(creation, self.export_include, choose, self._window).open()

    def _ask_for_file(self, creation: Creation) -> None:
        path = Path(creation.path)
        name = f"{sanitize_name(creation.title)}.zip" if creation.kind is CreationKind.MODEL else path.name
        dialog = QFileDialog(self._window, "Export", str(Path.home() / name))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        if creation.kind is CreationKind.MODEL:
            dialog.setNameFilters(["One file (*.zip)", "Folder (*)"])
            dialog.setDefaultSuffix("zip")
            dialog.filterSelected.connect(lambda chosen: dialog.setDefaultSuffix("zip" if "zip" in chosen else ""))
        else:
            dialog.setNameFilters(_filters(path.suffix, _FORMATS.get(creation.kind, "")))
            dialog.setDefaultSuffix(path.suffix.removeprefix("."))
        dialog.fileSelected.connect(lambda chosen: self._export_to(creation, Path(chosen)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _export_to(self, creation: Creation, to: Path) -> None:
        self._model.export(
            creation.id,
            to,
            self.export_include,
            lambda written: self.notified.emit(f"Exported to {written.name}.", False),
        )


def ask_about_jobs(window: QWidget, count: int, move: Callable[[], None]) -> QMessageBox:
    """Ask whether to move a model to the trash that jobs in the queue need."""
    box = QMessageBox(window)
    box.setWindowTitle("Move to trash")
    box.setText(f"{count:,} jobs in the queue need it." if count > 1 else "A job in the queue needs it.")
    box.setInformativeText("Without it they fail." if count > 1 else "Without it the job fails.")
    keep = box.addButton("Keep it", QMessageBox.ButtonRole.RejectRole)
    move_button = box.addButton("Move to trash", QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(keep)
    box.finished.connect(lambda: move() if box.clickedButton() is move_button else None)
    box.finished.connect(box.deleteLater)
    box.open()
    return box


def _filters(suffix: str, formats: str) -> list[str]:
    """Return the name filters, the file's own format first."""
    names = [name for name in formats.split(";;") if name]
    return sorted(names, key=lambda name: f"*{suffix})" not in name) or ["All files (*)"]


def _count_creations(ids: Sequence[str]) -> str:
    return "1 creation" if len(ids) == 1 else f"{len(ids):,} creations"
