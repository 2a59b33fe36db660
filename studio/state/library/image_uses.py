"""The tools that an image can go on in, and its place in their forms."""

from __future__ import annotations

from typing import NamedTuple

from studio.core import params_schema
from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.library.creation import Creation
from studio.state.form.workspace import Workspace
from studio.state.notices import Notices
from studio.state.undoable_actions import UndoableActions

_CARRIED = ("prompt", "negative_prompt")
"""Parameters that an image brings along from its recipe into an empty form."""


class ImageUse(NamedTuple):
    """The main image of a tool. `title` names the tool and its plugin."""

    tool: ToolDescriptor
    field: Field
    title: str


class ImageUses:
    def __init__(self, workspace: Workspace, undoable: UndoableActions, notices: Notices) -> None:
        self._workspace, self._undoable, self._notices = workspace, undoable, notices

    def list_uses(self) -> list[ImageUse]:
        """Return the tools that take an image, by plugin; trainings and others that make models last."""
        uses = []
        for plugin in self._workspace.catalogue.plugins:
            for tool in plugin.tools:
                fields = [field for field in params_schema.read_fields(tool.schema) if field.widget is Widget.IMAGE]
                if fields:
                    uses.append(ImageUse(tool, fields[0], f"{plugin.title or plugin.name}: {tool.title}"))
        return sorted(uses, key=lambda use: use.tool.output == "model")

    def use(self, image: Creation, use: ImageUse) -> None:
        """Choose a tool and make an image its main image, or the last of its list. Undo brings the form back.

        The image's prompt is used where the tool has a prompt that is still empty.
        """
        before = dict(self._workspace.draft.values.get(use.tool.id, {}))
        values = {**before, use.field.name: image.path}
        if use.field.many:
            chosen = list(before.get(use.field.name) or [])
            if use.field.max_items is not None and len(chosen) >= use.field.max_items:
                self._notices.info(f"{use.field.title} takes {use.field.max_items}. Remove one first.")
                return
            values[use.field.name] = [*chosen, image.path]
        known = {field.name for field in params_schema.read_fields(use.tool.schema)}
        for name in _CARRIED:
            text = image.recipe.params.get(name) if image.recipe else None
            if name in known and isinstance(text, str) and text and not before.get(name):
                values[name] = text
        self._undoable.put_values(use.tool.id, values, f"using an image in {use.tool.title}")
