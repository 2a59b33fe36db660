"""Files dropped on a model's tile: jobs that process them with that model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from studio.core import params_schema
from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.core.images import IMAGE_SUFFIXES
from studio.state.form.job_request import JobRequest
from studio.state.form.workspace import Workspace
from studio.state.jobs.generation import Generation
from studio.state.notices import Notices

_INPUTS = (Widget.IMAGE, Widget.MASK, Widget.FILE, Widget.FOLDER)


class _Target(NamedTuple):
    """The tool for a dropped file, and its field for it."""

    tool: str
    field: str


class DropToGenerate:
    """Finds the tool that accepts the dropped files, builds requests with the values of the form, and submits them.

    That is the tool in the form, or another one of its plugin that shows the same kind of models as tiles: a folder
    that is dropped on a tile of the tool for single pictures goes to the tool for folders.
    """

    def __init__(self, workspace: Workspace, generation: Generation, notices: Notices) -> None:
        self._workspace, self._generation, self._notices = workspace, generation, notices

    def training_tools(self) -> list[ToolDescriptor]:
        """Return the tools of this plugin that train models, to offer where there is no model yet."""
        return [tool for tool in self._list_tools() if tool.output == "model"]

    def run(self, field_name: str, model: str, paths: Sequence[Path]) -> None:
        """Generate from files or folders that were dropped on the tile of `model` in the field `field_name`.

        Pictures make one job where the tool has a list for them; otherwise each file makes its own.
        """
        tiles = next((field for field in self._workspace.fields if field.name == field_name), None)
        if tiles is None:
            return
        groups: dict[_Target, list[str]] = {}
        for path in paths:
            if (target := self._find_target(tiles, path)) is None:
                self._notices.info(f"{path.name} cannot be used here. Drop an image or a folder of images.")
            else:
                groups.setdefault(target, []).append(str(path))
        for target, files in groups.items():
            requests = self._build_requests(target, tiles, model, files)
            self._workspace.show_request(requests[-1])
            for request in requests:
                self._generation.submit(request)

    def _find_target(self, tiles: Field, path: Path) -> _Target | None:
        for tool in self._list_tools():
            fields = params_schema.read_fields(tool.schema)
            if _find_tiles(tiles, fields):
                single = next((field.name for field in fields if not field.many and _accepts(field, path)), None)
                name = single or next((field.name for field in fields if _accepts(field, path)), None)
                if name is not None:
                    return _Target(tool.id, name)
        return None

    def _list_tools(self) -> list[ToolDescriptor]:
        """Return the tool in the form, and after it the others of its plugin."""
        current = self._workspace.tool
        plugins = self._workspace.catalogue.plugins
        others = next((plugin.tools for plugin in plugins if current in plugin.tools), ())
        return [] if current is None else [current, *(tool for tool in others if tool != current)]

    def _build_requests(self, target: _Target, tiles: Field, model: str, files: list[str]) -> list[JobRequest]:
        request = self._workspace.build_request(target.tool)
        assert request is not None
        fields = {field.name: field for field in params_schema.read_fields(request.tool.schema)}
        values = {**request.values, **self._common_values(request.tool, fields)}
        values[_find_tiles(tiles, [*fields.values()])] = model
        well = fields[target.field]
        for field in fields.values():
            is_old_input = field.widget in _INPUTS and (field.many or field.widget is not Widget.IMAGE)
            if is_old_input and not field.required and field.name != target.field:
                values.pop(field.name, None)
        more = next((field for field in fields.values() if field.many and field.widget is well.widget), None)
        if well.many:
            inputs: list[dict[str, Any]] = [{target.field: files}]
        elif more is not None:
            inputs = [{target.field: files[0], more.name: files[1:]}]
        else:
            inputs = [{target.field: file} for file in files]
        return [replace(request, values={**values, **chosen}) for chosen in inputs]

    def _common_values(self, tool: ToolDescriptor, fields: Mapping[str, Field]) -> dict[str, Any]:
        """Return the values of the form that another tool has as well, except inputs."""
        if tool == self._workspace.tool:
            return {}
        return {
            field.name: self._workspace.value(field.name)
            for field in self._workspace.fields
            if field.widget not in _INPUTS and fields.get(field.name) == field
        }


def _find_tiles(tiles: Field, fields: Sequence[Field]) -> str:
    """Return the name of the field with tiles of the same kind of models, or an empty text."""
    return next((field.name for field in fields if field.tiles and field.model == tiles.model), "")


def _accepts(field: Field, path: Path) -> bool:
    match field.widget:
        case Widget.FOLDER:
            return path.is_dir()
        case Widget.IMAGE:
            return path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()
        case Widget.FILE:
            return path.suffix.lower() in field.accepts and not path.is_dir()
        case _:
            return False
