"""The question what an export includes, with a line that says what that is for this creation."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QButtonGroup, QDialog, QDialogButtonBox, QRadioButton, QVBoxLayout, QWidget

from studio.core.export_include import Include
from studio.library.creation import Creation
from studio.library.storage.export_contents import describe_contents
from studio.ui.widgets import labels


class ExportDialog(QDialog):
    """Calls `choose` with the choice when it is accepted."""

    def __init__(
        self, creation: Creation, include: Include, choose: Callable[[Include], None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export")
        self._creation, self._choose = creation, choose
        self._group = QButtonGroup(self)
        layout = QVBoxLayout(self)
        layout.addWidget(labels.make_label("Include in the file:"))
        self.buttons: dict[Include, QRadioButton] = {}
        for number, one in enumerate(Include):
            button = self.buttons[one] = QRadioButton(one.title)
            button.setChecked(one is include)
            self._group.addButton(button, number)
            layout.addWidget(button)
        self.contents = labels.make_label("")
        self.contents.setWordWrap(True)
        self.contents.setMinimumWidth(420)
        layout.addWidget(self.contents)
        box = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.accept_button = box.addButton("Choose where…", QDialogButtonBox.ButtonRole.AcceptRole)
        self.accept_button.setDefault(True)
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        layout.addWidget(box)
        self._group.idClicked.connect(self._show_contents)
        self.accepted.connect(lambda: self._choose(self.include))
        self.finished.connect(self.deleteLater)
        self._show_contents()

    @property
    def include(self) -> Include:
        return list(Include)[int(self._group.checkedId())]

    def _show_contents(self, *_: object) -> None:
        self.contents.setText(describe_contents(self._creation, self.include))
