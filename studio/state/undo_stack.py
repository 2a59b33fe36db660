"""One stack of undoable commands for the whole window."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QUndoCommand, QUndoStack

LIMIT = 200


class UndoStack(QUndoStack):
    def __init__(self) -> None:
        super().__init__()
        self.setUndoLimit(LIMIT)

    def do(self, text: str, redo: Callable[[], object], undo: Callable[[], object]) -> None:
        """Call `redo` now, and let Undo call `undo`. `text` completes the menu text: "Undo moving 3 to the trash"."""
        self.push(_Step(text, redo, undo))


class _Step(QUndoCommand):
    def __init__(self, text: str, redo: Callable[[], object], undo: Callable[[], object]) -> None:
        super().__init__(text)
        self._redo, self._undo = redo, undo

    def redo(self) -> None:
        self._redo()

    def undo(self) -> None:
        self._undo()
