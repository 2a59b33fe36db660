"""The setting for additional model folders, with the program and number of models found in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.core.descriptor import Field, Widget
from studio.state.library.model_folders import ModelFolders
from studio.ui.form.base import FormServices
from studio.ui.form.list_field import FoldersEditor
from studio.ui.form.path_list import ListContent
from studio.ui.theme import icons

FIELD = Field(
    name="model_folders",
    title="Additional model folders",
    help="Folders of AUTOMATIC1111, Forge, ComfyUI, InvokeAI, the Hugging Face cache or others. They are only read.",
    widget=Widget.FOLDER,
    many=True,
)


class ModelFoldersEditor(FoldersEditor):
    def __init__(self, folders: ModelFolders, services: FormServices) -> None:
        self._folders = folders
        super().__init__(
            FIELD,
            replace(
                services,
                clear_value=lambda _, left: self._set_folders(left),
                add_to_list=lambda _, added: self._set_folders([*self.list.values(), *added]),
            ),
            ListContent.FOLDERS,
        )
        folders.changed.connect(self._refresh)

    def value(self) -> Any:
        return tuple(self.list.values())

    def _set_folders(self, folders: Sequence[str]) -> None:
        self.show_value(folders)
        self.edited.emit()

    def _add_row(self, value: str) -> None:
        path = Path(value)
        caption = f"{self._describe_folder(value)} · {path.parent}"
        self.list.add_row(value, path.name or value, caption, icons.icon("folder-outline"))

    def _refresh(self) -> None:
        """Fill the list again with the current descriptions."""
        values = self.list.values()
        self.list.clear()
        for value in values:
            self._add_row(value)
        self._update()

    def _describe_folder(self, value: str) -> str:
        path = Path(value).expanduser()
        return next((folder.summary for folder in self._folders.folders if Path(folder.path) == path), "Scanning…")
