"""The folders of other programs, in the settings: what each was recognised as, and how many models lie there."""

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
    title="More model folders",
    help="Of AUTOMATIC1111, Forge, ComfyUI, InvokeAI, the Hugging Face cache, or any other. They stay as they are.",
    widget=Widget.FOLDER,
    many=True,
)


class ModelFoldersEditor(FoldersEditor):
    def __init__(self, folders: ModelFolders, services: FormServices) -> None:
        self._folders = folders
        super().__init__(FIELD, replace(services, clear_value=lambda _, left: self._give(left)), ListContent.FOLDERS)
        folders.changed.connect(self._tell)

    def value(self) -> Any:
        return tuple(self.list.values())

    def _give(self, folders: Sequence[str]) -> None:
        self.show_value(folders)
        self.edited.emit()

    def _put(self, value: str) -> None:
        path = Path(value)
        self.list.put(value, path.name or value, f"{self._seen(value)} · {path.parent}", icons.icon("folder-outline"))

    def _tell(self) -> None:
        """Again, with what is known of each by now."""
        values = self.list.values()
        self.list.clear()
        for value in values:
            self._put(value)
        self._update()

    def _seen(self, value: str) -> str:
        wanted = Path(value).expanduser()
        return next((folder.told for folder in self._folders.folders if Path(folder.path) == wanted), "Looking…")
