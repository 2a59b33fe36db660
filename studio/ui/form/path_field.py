"""Editors for a file, a folder or a model, by path or name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QMenu, QToolButton, QWidget

from studio.core.descriptor import Field, Widget
from studio.ui.form.base import Editor, FormServices, ModelOption, guard_callback
from studio.ui.form.choice_field import Combo
from studio.ui.theme import icons
from studio.ui.widgets import labels, mime_data

MODEL_FILES = "Models (*.safetensors *.gguf *.onnx *.pth *.pt *.ckpt);;All files (*)"


class PathLineEdit(QLineEdit):
    """A line edit for a path. The path of a dropped file or folder is written into it."""

    def __init__(self) -> None:
        super().__init__()
        self.setAcceptDrops(True)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if mime_data.list_files(event.mimeData()):
            event.acceptProposedAction()
        else:
            super().dragEnterEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        if files := mime_data.list_files(event.mimeData()):
            self.setText(str(files[0]))
            self.textEdited.emit(self.text())
            event.acceptProposedAction()
        else:
            super().dropEvent(event)


class PathEditor(Editor):
    """An editor for `Widget.FILE` and `Widget.FOLDER`."""

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

    def set_invalid(self, invalid: bool) -> None:
        labels.set_flag(self.line, "invalid", invalid)

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
    """A list of installed models by title, in which a path or a Hugging Face name can be typed."""

    def __init__(self, field: Field, services: FormServices, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self.combo = Combo()
        self.combo.setEditable(True)
        self.combo.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # setEditable makes it take the wheel
        self.combo.setInsertPolicy(Combo.InsertPolicy.NoInsert)
        labels.describe(
            self.combo, field.title, field.help or "A model from the list, a path, or a Hugging Face name (owner/model)"
        )
        typed = self.combo.lineEdit()
        assert typed is not None
        self._typed = typed
        labels.describe(typed, field.title)
        self._browse = QToolButton()
        self._browse.setIcon(icons.icon("folder-open-outline"))
        self._browse.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        labels.describe(self._browse, f"Choose {field.title.lower()} from disk")
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
        self.combo.activated.connect(self._choose_row)
        typed.editingFinished.connect(self._read_typed)
        self._services = services
        services.models_changed.connect(self._request_models)
        self._request_models()

    def value(self) -> Any:
        return self._value or None

    def show_value(self, value: Any) -> None:
        self._value = str(value) if value else ""
        row = self._names.index(self._value) if self._value in self._names else -1
        self.combo.setCurrentIndex(row)
        if row < 0:
            self.combo.setEditText("" if self._is_default_missing() else self._value)

    def _is_default_missing(self) -> bool:
        """Check whether there are no models and the value is the tool's default, which then is not installed."""
        return self.combo.count() == 0 and self._value == str(self.field.default)

    def set_invalid(self, invalid: bool) -> None:
        labels.set_flag(self.combo, "invalid", invalid)

    def _request_models(self) -> None:
        self._services.list_models(self.field.model, guard_callback(self, self._show_models))

    def _show_models(self, offers: Sequence[ModelOption]) -> None:
        """Fill the list at once, since there may be thousands. Typed text is kept if the models are the same."""
        names, titles = [offer.name for offer in offers], [offer.title for offer in offers]
        if names and names == self._names and titles == [self.combo.itemText(row) for row in range(len(titles))]:
            return
        self._names = names
        nothing = "None" if self.field.optional else "Choose a model"
        self._typed.setPlaceholderText(nothing if names else "No model found: choose one")
        self.combo.clear()
        self.combo.addItems(titles)
        self.show_value(self._value)

    def _choose_row(self, row: int) -> None:
        self._set_value(self._names[row])

    def _read_typed(self) -> None:
        text = self.combo.currentText().strip()
        row = self.combo.findText(text)
        value = self._names[row] if row >= 0 else text
        if value != self._value:
            self._set_value(value)

    def _set_value(self, value: str) -> None:
        self.show_value(value)
        self.edited.emit()

    def _choose_folder(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, self.field.title):
            self._set_value(path)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, self.field.title, "", MODEL_FILES)
        if path:
            self._set_value(str(Path(path)))
