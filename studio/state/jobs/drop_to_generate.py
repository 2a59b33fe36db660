"""What is dropped on a model's tile, made with that model at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from studio.core import params_schema
from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.core.images import IMAGE_SUFFIXES
from studio.state.form.workspace import Workspace
from studio.state.jobs.generation import Generation
from studio.state.notices import Notices

_FILLED = (Widget.IMAGE, Widget.MASK, Widget.FILE, Widget.FOLDER)


class DropToGenerate:
    """Finds the tool that can take what was dropped, fills its form as the artist's stands, and generates.

    That is the tool at hand, or else another one of its plugin that shows the same kind of models as tiles: so a
    folder that is dropped where pictures are painted goes to the tool that paints folders.
    """

    def __init__(self, workspace: Workspace, generation: Generation, notices: Notices) -> None:
        self._workspace, self._generation, self._notices = workspace, generation, notices

    def makers(self) -> list[ToolDescriptor]:
        """The tools of the plugin at hand that make models: where there is none yet, one of these is the way."""
        return [tool for tool in self._plugins_tools() if tool.output == "model"]

    def make(self, name: str, choice: str, paths: Sequence[Path]) -> None:
        """Of each picture, folder or other file, with the model that `choice` names in the field `name`.

        Pictures make one job where the tool has a list for them; each other thing makes its own.
        """
        tiles = next((field for field in self._workspace.fields if field.name == name), None)
        if tiles is None:
            return
        groups: dict[tuple[str, str], list[Path]] = {}
        for path in paths:
            if (taker := self._taker(tiles, path)) is None:
                self._notices.info(f"{path.name} cannot be used here. Drop a picture or a folder of pictures.")
            else:
                groups.setdefault(taker, []).append(path)
        for (tool, into), group in groups.items():
            self._enter(tool)
            self._workspace.set_value(self._tiles_like(tiles, self._workspace.fields) or name, choice)
            self._generate(into, [str(path) for path in group])

    def _taker(self, tiles: Field, path: Path) -> tuple[str, str] | None:
        """The tool that takes it, and the field that it goes into."""
        for tool in self._plugins_tools():
            fields = params_schema.read_fields(tool.schema)
            if self._tiles_like(tiles, fields):
                into = next((field.name for field in fields if not field.many and _takes(field, path)), None)
                into = into or next((field.name for field in fields if _takes(field, path)), None)
                if into is not None:
                    return tool.id, into
        return None

    def _plugins_tools(self) -> list[ToolDescriptor]:
        """The tool at hand, and behind it the others of its plugin."""
        here = self._workspace.tool
        plugins = self._workspace.catalogue.plugins
        others = next((plugin.tools for plugin in plugins if here in plugin.tools), ())
        return [] if here is None else [here, *(tool for tool in others if tool != here)]

    @staticmethod
    def _tiles_like(tiles: Field, fields: Sequence[Field]) -> str:
        return next((field.name for field in fields if field.tiles and field.model == tiles.model), "")

    def _enter(self, tool: str) -> None:
        """Goes to a tool and takes along what both tools have: a folder is painted as a picture would be."""
        if self._workspace.tool is None or self._workspace.tool.id == tool:
            return
        before = {field.name: (field, self._workspace.value(field.name)) for field in self._workspace.fields}
        self._workspace.choose(tool)
        for field in self._workspace.fields:
            if field.widget not in _FILLED and before.get(field.name, (None,))[0] == field:
                self._workspace.set_value(field.name, before[field.name][1])

    def _generate(self, into: str, paths: list[str]) -> None:
        fields = {field.name: field for field in self._workspace.fields}
        well = fields[into]
        more = next((one for one in fields.values() if one.many and one.widget is well.widget), None)
        for field in fields.values():
            old = field.widget in _FILLED and (field.many or field.widget is not Widget.IMAGE)
            if old and not field.required and field.name != into:
                self._workspace.set_value(field.name, field.default)
        if well.many:
            self._workspace.set_value(into, paths)
            self._generation.generate()
        elif more is not None:
            self._workspace.set_value(into, paths[0])
            self._workspace.set_value(more.name, paths[1:])
            self._generation.generate()
        else:
            for path in paths:
                self._workspace.set_value(into, path)
                self._generation.generate()


def _takes(field: Field, path: Path) -> bool:
    match field.widget:
        case Widget.FOLDER:
            return path.is_dir()
        case Widget.IMAGE:
            return path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()
        case Widget.FILE:
            return path.suffix.lower() in field.accepts and not path.is_dir()
        case _:
            return False
