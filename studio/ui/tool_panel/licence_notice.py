"""The question about a model's licence before its first use."""

from __future__ import annotations

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from studio.library.models.licences import LicenceTerms
from studio.ui.widgets import labels


class LicenceNotice(QFrame):
    """A notice with the licence, shown by `ask`. Escape hides it, and so does a change in the form."""

    accepted = Signal(object)
    """Emitted with the terms that the artist accepted."""
    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "notice")
        self._terms: LicenceTerms | None = None
        self.sentence = labels.make_label("", wrap=True)
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.read_button = QPushButton("Read licence")
        labels.describe(self.read_button, "Read licence", "Open the licence")
        self.read_button.clicked.connect(self._read)
        self.use_button = QPushButton("Use model")
        labels.describe(self.use_button, "Use model", "Accept the licence and generate")
        self.use_button.clicked.connect(self._use)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addStretch(1)
        row.addWidget(self.read_button)
        row.addWidget(self.use_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 10)
        column.setSpacing(8)
        column.addWidget(self.sentence)
        column.addLayout(row)
        self.hide()

    def ask(self, terms: LicenceTerms) -> None:
        self._terms = terms
        self.sentence.setText(terms.sentence)
        self.setAccessibleName(terms.sentence)
        labels.describe(self.read_button, "Read licence", f"Open the licence of {terms.model}")
        labels.describe(
            self.use_button,
            "Use model",
            f"Accept the licence of {terms.model} and generate. You will not be asked again.",
        )
        self.read_button.setVisible(bool(terms.link))
        self.show()
        (self.read_button if terms.link else self.use_button).setFocus(Qt.FocusReason.OtherFocusReason)

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
