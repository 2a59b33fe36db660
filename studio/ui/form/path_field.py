"""Files, folders and models: named by path or by name, typed or chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QMenu, QToolButton, QWidget

from studio.core.descriptor import Field, Widget
from studio.ui.form.base import Editor, FormServices, ModelOption, while_alive
from studio.ui.form.choice_field import Combo
from studio.ui.theme import icons
from studio.ui.widgets import labels, mime_data

MODEL_FILES = "Models (*.safetensors *.gguf *.onnx *.pth *.pt *.ckpt);;All files (*)"


class PathLineEdit(QLineEdit):
    """A path; a file or folder that is dropped on it is written into it."""

    def __init__(self) -> None:
        super().__init__()
        self.setAcceptDrops(True)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if mime_data.list_files(event.mimeData()):
            event.acceptProposedAction()
        else:
            super().dragEnterEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        if found := mime_data.list_files(event.mimeData()):
            self.setText(str(found[0]))
            self.textEdited.emit(self.text())
            event.acceptProposedAction()
        else:
            super().dropEvent(event)


class PathEditor(Editor):
    """For `Widget.FILE` and `Widget.FOLDER`."""

    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        folder = field.widget is Widget.FOLDER
        self.line = PathLineEdit()
        self.line.setPlaceholderText("Drop or choose a folder" if folder else "Drop or choose a file")
        labels.describe(self.line, field.title, field.help)
        self._browse = QToolButton()
        self._browse.setIcon(icons.icon("folder-open-outline" if folder else "file-outline"))
        labels.describe(self._browse, f"Choose {field.title.lower()}…")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.line, 1)
        row.addWidget(self._browse)
        self.setFocusProxy(self.line)
        self.line.textEdited.connect(lambda _: self.edited.emit())
        self._browse.clicked.connect(self._choose)

    def value(self) -> Any:
        return self.line.text() or None

    def show_value(self, value: Any) -> None:
        text = str(value) if value else ""
        if text != self.line.text():
            self.line.setText(text)

    def set_wrong(self, wrong: bool) -> None:
        labels.set_flag(self.line, "wrong", wrong)

    def _choose(self) -> None:
        title, start = self.field.title, self.line.text()
        if self.field.widget is Widget.FOLDER:
            path = QFileDialog.getExistingDirectory(self, title, start)
        else:
            path, _ = QFileDialog.getOpenFileName(
                self, title, start, mime_data.make_name_filter(self.field.accepts, title)
            )
        if path:
            self.show_value(path)
            self.edited.emit()


class ModelEditor(Editor):
    """The models that are at hand by their titles; a path or a hub name can be typed or chosen."""

    def __init__(self, field: Field, services: FormServices, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self.combo = Combo()
        self.combo.setEditable(True)
        self.combo.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # being editable made it take the wheel
        self.combo.setInsertPolicy(Combo.InsertPolicy.NoInsert)
        labels.describe(self.combo, field.title, field.help or "A model from the list, a path, or a hub name")
        typed = self.combo.lineEdit()
        assert typed is not None
        typed.setPlaceholderText("No model here yet: choose one")
        labels.describe(typed, field.title)
        self._browse = QToolButton()
        self._browse.setIcon(icons.icon("folder-open-outline"))
        self._browse.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        labels.describe(self._browse, f"Choose {field.title.lower()} from the disk")
        menu = QMenu(self._browse)
        menu.addAction("Choose a folder…", self._choose_folder)
        menu.addAction("Choose a file…", self._choose_file)
        self._browse.setMenu(menu)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.combo, 1)
        row.addWidget(self._browse)
        self.setFocusProxy(self.combo)
        self._value = ""
        self._names: list[str] = []
        self.combo.activated.connect(self._picked)
        typed.editingFinished.connect(self._typed)
        self._services = services
        services.models_changed.connect(self._ask)
        self._ask()

    def value(self) -> Any:
        return self._value or None

    def show_value(self, value: Any) -> None:
        self._value = str(value) if value else ""
        row = self._names.index(self._value) if self._value in self._names else -1
        self.combo.setCurrentIndex(row)
        if row < 0:
            self.combo.setEditText("" if self._is_missing() else self._value)

    def _is_missing(self) -> bool:
        """Whether the tool's own choice is not here, and nothing else either: then there is a choice to make."""
        return self.combo.count() == 0 and self._value == str(self.field.default)

    def set_wrong(self, wrong: bool) -> None:
        labels.set_flag(self.combo, "wrong", wrong)

    def _ask(self) -> None:
        self._services.list_models(self.field.model, while_alive(self, self._offered))

    def _offered(self, offers: Sequence[ModelOption]) -> None:
        """All at once: there may be thousands. What is being typed stays, unless there are others than before."""
        names, titles = [offer.name for offer in offers], [offer.title for offer in offers]
        if names and names == self._names and titles == [self.combo.itemText(row) for row in range(len(titles))]:
            return
        self._names = names
        self.combo.clear()
        self.combo.addItems(titles)
        self.show_value(self._value)

    def _picked(self, row: int) -> None:
        self._give(self._names[row])

    def _typed(self) -> None:
        text = self.combo.currentText().strip()
        row = self.combo.findText(text)
        value = self._names[row] if row >= 0 else text
        if value != self._value:
            self._give(value)

    def _give(self, value: str) -> None:
        self.show_value(value)
        self.edited.emit()

    def _choose_folder(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, self.field.title):
            self._give(path)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, self.field.title, "", MODEL_FILES)
        if path:
            self._give(str(Path(path)))
