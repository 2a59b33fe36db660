"""Two strips below the grid: what was just done with its undo, and what can be done in the trash."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QStackedLayout, QVBoxLayout, QWidget

from studio.ui.theme import theme
from studio.ui.widgets.labels import describe, make_label

LONG_ENOUGH = 8000
"""Milliseconds that a notice stays."""


class UndoBar(QFrame):
    undo_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sentence = make_label(wrap=True)
        self.undo = QPushButton("Undo")
        describe(self.undo, "Undo", "Take back what was just done")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, theme.SPACE, 3 * theme.SPACE, 2 * theme.SPACE)
        layout.addWidget(self.sentence, 1)
        layout.addWidget(self.undo)
        self._timer = QTimer(self, singleShot=True, interval=LONG_ENOUGH)
        self._timer.timeout.connect(self.hide)
        self.undo.clicked.connect(self._undo)
        self.hide()

    def tell(self, sentence: str, undoable: bool, *, wrong: bool = False) -> None:
        """What is wrong stays until the next is told."""
        self.sentence.setText(sentence)
        self.sentence.setStyleSheet(f"color: {theme.COLOURS.danger if wrong else theme.COLOURS.dim};")
        self.undo.setVisible(undoable)
        self.show()
        if wrong:
            self._timer.stop()
        elif self.isVisible():
            self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        self._timer.stop()

    def _undo(self) -> None:
        self.hide()
        self.undo_requested.emit()


class TrashBar(QWidget):
    """Restore, Delete and Empty trash. What cannot be undone asks again in its own place instead of in a dialog."""

    restore_requested = Signal()
    delete_requested = Signal(list)
    """The ids that were asked about."""
    empty_requested = Signal()
    answered = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._count = 0
        self._asked: list[str] = []
        """What the question is about; the whole trash where this is empty."""
        self.restore = QPushButton("Restore")
        describe(self.restore, "Restore", "Put what is chosen back where it was")
        self.delete_chosen = QPushButton("Delete…")
        describe(self.delete_chosen, "Delete", "Delete for ever what is chosen (Del)")
        self.empty = QPushButton("Empty trash…")
        describe(self.empty, "Empty trash", "Delete for ever what is in the trash")
        self.question = make_label(wrap=True)
        self.delete = QPushButton("Delete for ever")
        describe(self.delete, "Delete for ever", "This cannot be undone")
        self.keep_button = QPushButton("Keep")
        describe(self.keep_button, "Keep", "Leave the trash as it is")
        self._pages = QStackedLayout(self)
        self._pages.addWidget(_row(self.restore, self.delete_chosen, self.empty))
        asking = QWidget()
        column = QVBoxLayout(asking)
        column.setContentsMargins(0, theme.SPACE, 3 * theme.SPACE, 0)
        column.setSpacing(0)
        column.addWidget(self.question)
        column.addWidget(_row(self.delete, self.keep_button))
        self._pages.addWidget(asking)
        self.restore.clicked.connect(self.restore_requested)
        self.empty.clicked.connect(lambda: self.ask())
        self.keep_button.clicked.connect(self._keep)
        self.delete.clicked.connect(self._delete)
        self.show_chosen(0)
        self.hide()

    def show_chosen(self, count: int) -> None:
        self.restore.setEnabled(count > 0)
        self.delete_chosen.setEnabled(count > 0)

    def show_count(self, count: int) -> None:
        self._count = count
        self.empty.setEnabled(count > 0)

    def ask(self, chosen: Sequence[str] = ()) -> None:
        """About these, or about all that is in the trash."""
        self._asked = list(chosen)
        count = len(chosen) or self._count
        what = "this creation" if count == 1 else f"{count:,} creations" if chosen else f"all {count:,} creations here"
        self.question.setText(f"Delete {what} for ever? This cannot be undone.")
        self.delete.setStyleSheet(f"color: {theme.COLOURS.danger};")
        self._pages.setCurrentIndex(1)
        self.keep_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def keep(self) -> None:
        self._pages.setCurrentIndex(0)

    def choice_changed(self) -> None:
        """A question about what was chosen is no longer the question."""
        if self._asked:
            self.keep()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._pages.currentIndex() == 1:
            self._keep()
        else:
            super().keyPressEvent(event)

    def _keep(self) -> None:
        self.keep()
        self.answered.emit()

    def _delete(self) -> None:
        asked = self._asked
        self._keep()
        if asked:
            self.delete_requested.emit(asked)
        else:
            self.empty_requested.emit()


def _row(*buttons: QPushButton) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, theme.SPACE, 3 * theme.SPACE, 2 * theme.SPACE)
    layout.setSpacing(2 * theme.SPACE)
    for button in buttons:
        layout.addWidget(button)
    layout.addStretch()
    return row
