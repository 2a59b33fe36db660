"""Before a model is used for the first time: what its licence is, in place of a dialog."""

from __future__ import annotations

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from studio.library.models.licences import Terms
from studio.ui.widgets import labels


class LicenceNotice(QFrame):
    """Hidden until `ask`. Escape, or whatever makes the question idle, hides it again."""

    accepted = Signal(object)
    """The terms that the artist wants to use the model under."""
    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "notice")
        self._terms: Terms | None = None
        self.sentence = labels.make_label("", wrap=True)
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.read = QPushButton("Read it")
        labels.describe(self.read, "Read it", "Opens the licence")
        self.read.clicked.connect(self._read)
        self.use = QPushButton("Use it")
        labels.describe(self.use, "Use it", "Uses the model under its licence")
        self.use.clicked.connect(self._use)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addStretch(1)
        row.addWidget(self.read)
        row.addWidget(self.use)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 10)
        column.setSpacing(8)
        column.addWidget(self.sentence)
        column.addLayout(row)
        self.hide()

    def ask(self, terms: Terms) -> None:
        self._terms = terms
        self.sentence.setText(terms.sentence)
        self.setAccessibleName(terms.sentence)
        labels.describe(self.read, "Read it", f"Opens the licence of {terms.model}")
        labels.describe(self.use, "Use it", f"Uses {terms.model} under its licence, and does not ask again")
        self.read.setVisible(bool(terms.link))
        self.show()
        (self.read if terms.link else self.use).setFocus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.hide()
            self.dismissed.emit()
        else:
            super().keyPressEvent(event)

    def _read(self) -> None:
        if self._terms is not None:
            link = self._terms.link
            QDesktopServices.openUrl(QUrl(link) if link.startswith("https://") else QUrl.fromLocalFile(link))

    def _use(self) -> None:
        terms, self._terms = self._terms, None
        self.hide()
        if terms is not None:
            self.accepted.emit(terms)
