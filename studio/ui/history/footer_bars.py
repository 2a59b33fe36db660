"""The bars below the grid: the last action with Undo, and the actions of the trash."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QStackedLayout, QVBoxLayout, QWidget

from studio.ui.theme import theme
from studio.ui.widgets.labels import describe, make_label

NOTICE_MS = 8000
"""Milliseconds for which a message is shown."""


class UndoBar(QFrame):
    undo_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sentence = make_label(wrap=True)
        self.undo = QPushButton("Undo")
        describe(self.undo, "Undo", "Undo the last action")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, theme.SPACE, 3 * theme.SPACE, 2 * theme.SPACE)
        layout.addWidget(self.sentence, 1)
        layout.addWidget(self.undo)
        self._timer = QTimer(self, singleShot=True, interval=NOTICE_MS)
        self._timer.timeout.connect(self.hide)
        self.undo.clicked.connect(self._undo)
        self.hide()

    def show_message(self, sentence: str, undoable: bool, *, is_error: bool = False) -> None:
        """Show a message. An error stays until the next message."""
        self.sentence.setText(sentence)
        self.sentence.setStyleSheet(f"color: {theme.COLOURS.danger if is_error else theme.COLOURS.dim};")
        self.undo.setVisible(undoable)
        self.show()
        if is_error:
            self._timer.stop()
        elif self.isVisible():
            self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        self._timer.stop()

    def _undo(self) -> None:
        self.hide()
        self.undo_requested.emit()


class TrashBar(QWidget):
    """Restore, Delete and Empty trash. Deleting asks for confirmation in the bar, not in a dialog."""

    restore_requested = Signal()
    delete_requested = Signal(list)
    """Emitted with the ids that the artist confirmed."""
    empty_requested = Signal()
    answered = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._count = 0
        self._ids_to_delete: list[str] = []
        """Ids that the question is about; empty for the whole trash."""
        self.restore = QPushButton("Restore")
        describe(self.restore, "Restore", "Move the selected creations back to the history")
        self.delete_chosen = QPushButton("Delete…")
        describe(self.delete_chosen, "Delete", "Delete the selected creations permanently (Del)")
        self.empty = QPushButton("Empty trash…")
        describe(self.empty, "Empty trash", "Delete everything in the trash permanently")
        self.question = make_label(wrap=True)
        self.delete = QPushButton("Delete permanently")
        describe(self.delete, "Delete permanently", "This cannot be undone")
        self.keep_button = QPushButton("Keep")
        describe(self.keep_button, "Keep", "Delete nothing")
        self._pages = QStackedLayout(self)
        self._pages.addWidget(_make_row(self.restore, self.delete_chosen, self.empty))
        asking = QWidget()
        column = QVBoxLayout(asking)
        column.setContentsMargins(0, theme.SPACE, 3 * theme.SPACE, 0)
        column.setSpacing(0)
        column.addWidget(self.question)
        column.addWidget(_make_row(self.delete, self.keep_button))
        self._pages.addWidget(asking)
        self.restore.clicked.connect(self.restore_requested)
        self.empty.clicked.connect(lambda: self.ask())
        self.keep_button.clicked.connect(self._on_keep)
        self.delete.clicked.connect(self._on_delete)
        self.show_selection(0)
        self.hide()

    def show_selection(self, count: int) -> None:
        self.restore.setEnabled(count > 0)
        self.delete_chosen.setEnabled(count > 0)

    def show_count(self, count: int) -> None:
        self._count = count
        self.empty.setEnabled(count > 0)

    def ask(self, ids: Sequence[str] = (), users: str = "") -> None:
        """Ask whether to delete these creations, or the whole trash. `users` says what was made with them."""
        self._ids_to_delete = list(ids)
        count = len(ids) or self._count
        target = (
            "this creation"
            if count == 1
            else f"{count:,} creations"
            if ids
            else f"all {count:,} creations in the trash"
        )
        self.question.setText(f"Delete {target} permanently? This cannot be undone. {users}".strip())
        self.delete.setStyleSheet(f"color: {theme.COLOURS.danger};")
        self._pages.setCurrentIndex(1)
        self.keep_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def cancel_question(self) -> None:
        self._pages.setCurrentIndex(0)

    def cancel_question_about_selection(self) -> None:
        """Hide the question if it was about a selection, which now has changed."""
        if self._ids_to_delete:
            self.cancel_question()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._pages.currentIndex() == 1:
            self._on_keep()
        else:
            super().keyPressEvent(event)

    def _on_keep(self) -> None:
        self.cancel_question()
        self.answered.emit()

    def _on_delete(self) -> None:
        ids = self._ids_to_delete
        self._on_keep()
        if ids:
            self.delete_requested.emit(ids)
        else:
            self.empty_requested.emit()


def _make_row(*buttons: QPushButton) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, theme.SPACE, 3 * theme.SPACE, 2 * theme.SPACE)
    layout.setSpacing(2 * theme.SPACE)
    for button in buttons:
        layout.addWidget(button)
    layout.addStretch()
    return row
