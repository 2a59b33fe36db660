"""The tools that a model can be used in, and its place in their forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from studio.core import params_schema
from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.library.creation import Creation
from studio.library.storage import sidecar
from studio.state.form.workspace import Workspace
from studio.state.jobs.generation import Generation
from studio.state.notices import Notices
from studio.state.undoable_actions import UndoableActions

_CONTINUED_KINDS = {"new": "full", "full": "full", "masked": "masked", "lora": "lora"}
"""The type of training that goes on with the model of each type."""


class ModelUse(NamedTuple):
    """A field of a tool that takes a model. `title` names the tool, and the field where the tool has several."""

    tool: ToolDescriptor
    field: Field
    title: str


class ModelUses:
    def __init__(
        self, workspace: Workspace, generation: Generation, undoable: UndoableActions, notices: Notices
    ) -> None:
        self._workspace, self._generation, self._undoable, self._notices = workspace, generation, undoable, notices

    def list_uses(self, kind: str) -> list[ModelUse]:
        """Return the fields of all tools that take models of this kind, trainings and advanced fields last."""
        uses = []
        for plugin in self._workspace.catalogue.plugins:
            for tool in plugin.tools:
                fields = _fields_for(tool, kind)
                for field in fields:
                    title = f"{plugin.title or plugin.name}: {tool.title}"
                    uses.append(ModelUse(tool, field, f"{title} ({field.title})" if len(fields) > 1 else title))
        return sorted(uses, key=lambda use: (use.tool.output == "model", use.field.advanced))

    def use(self, model: Creation, use: ModelUse) -> None:
        """Put a model into a field, or at the end of a list. Undo takes it out."""
        before = dict(self._workspace.draft.values.get(use.tool.id, {}))
        values = {**before, use.field.name: model.id}
        if use.field.many:
            chosen = list(before.get(use.field.name) or [])
            if model.id in chosen:
                self._workspace.choose(use.tool.id)
                return
            if use.field.max_items is not None and len(chosen) >= use.field.max_items:
                self._notices.info(f"{use.field.title} takes {use.field.max_items}. Remove one first.")
                return
            values[use.field.name] = [*chosen, model.id]
        self._undoable.put_values(use.tool.id, values, f"using {model.title}")

    def write_command(self, model: Creation, use: ModelUse) -> str:
        """Return the command line that runs a tool with this model. `…` stands for what the tool needs besides."""
        name = model.title.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
        needed = [
            f" --set {field.name}=…"
            for field in params_schema.read_fields(use.tool.schema)
            if field.required and field.name != use.field.name
        ]
        return f'studio run {use.tool.id} --set {use.field.name}="{name}"{"".join(needed)}'

    # Training further
    def can_train_further(self, model: Creation) -> bool:
        """Check whether the tool that trained a model can start from it."""
        return self._find_start(model) is not None

    def train_further(self, model: Creation) -> None:
        """Put the training of a model into the form, to start from the model. Undo brings the form back."""
        found = self._find_start(model)
        if found is None:
            self._notices.info(f"The tool that trained {model.title} cannot start from a trained model.")
            return
        is_imported = bool(sidecar.read(Path(model.path)).imported)
        self._generation.use_settings(model, {"steps": None, **found[1]}, ask=is_imported)

    def _find_start(self, model: Creation) -> tuple[ToolDescriptor, dict[str, Any]] | None:
        """Return the tool that trained a model, and the values with which it starts from the model."""
        recipe = model.recipe
        tool = self._workspace.catalogue.tools.get(recipe.tool) if recipe else None
        if recipe is None or tool is None or tool.output != "model":
            return None
        fields = [field for field in _fields_for(tool, model.model_kind) if not field.many]
        start = next((field for field in fields if field.name == "start_from"), None)
        if start is not None:
            return tool, {start.name: model.id}
        kind = next((field for field in params_schema.read_fields(tool.schema) if field.name == "kind"), None)
        continued = _CONTINUED_KINDS.get(str(recipe.params.get("kind", "")))
        if not fields or kind is None or continued not in kind.choices:
            return None
        return tool, {fields[0].name: model.id, "kind": continued}


def _fields_for(tool: ToolDescriptor, kind: str) -> list[Field]:
    fields = params_schema.read_fields(tool.schema)
    return [field for field in fields if field.widget is Widget.MODEL and kind and kind in field.model.split()]
