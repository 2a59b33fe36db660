"""What the artist is about to make: the tool, its values, seed, count and format."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QObject, Signal

from studio.core import params_schema
from studio.core.descriptor import Catalogue, Field, ToolDescriptor
from studio.library.models import offers
from studio.state.form.draft_store import Draft

SEEDS = 2**32


class Workspace(QObject):
    """Values are kept per tool. A value that was never touched follows the tool's default."""

    tool_changed = Signal()
    """Another tool, or the same one with another description."""
    value_changed = Signal(str)
    """The name of a parameter of the current tool."""
    values_replaced = Signal()
    seed_changed = Signal()
    options_changed = Signal()
    """Count or format."""
    changed = Signal()
    """Anything that belongs in the draft."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._catalogue = Catalogue()
        self._tool: ToolDescriptor | None = None
        self._fields: dict[str, Field] = {}
        self._draft = Draft()

    @property
    def tool(self) -> ToolDescriptor | None:
        return self._tool

    @property
    def catalogue(self) -> Catalogue:
        return self._catalogue

    @property
    def fields(self) -> list[Field]:
        return list(self._fields.values())

    @property
    def draft(self) -> Draft:
        """The live object; the window adds its layout to it before it is written."""
        return self._draft

    def restore(self, draft: Draft) -> None:
        self._draft = draft
        self._choose_again()

    def set_catalogue(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._choose_again()

    def choose(self, tool_id: str) -> None:
        """Does nothing for a tool that is not there."""
        tool = self._catalogue.tools.get(tool_id)
        if tool is None or tool == self._tool:
            return
        self._draft.tool = tool_id
        self._draft.last_tools[tool.plugin] = tool_id
        self._take(tool)
        self.changed.emit()

    def choose_plugin(self, plugin: str) -> None:
        """The tool of this plugin that was used last, or its first."""
        tools = [tool.id for found in self._catalogue.plugins if found.name == plugin for tool in found.tools]
        last = self._draft.last_tools.get(plugin, "")
        if tools:
            self.choose(last if last in tools else tools[0])

    def value(self, name: str) -> Any:
        field = self._fields[name]
        return self._given.get(name, field.default)

    def values(self) -> dict[str, Any]:
        """What was given for the current tool's parameters, and nothing that follows a default."""
        return {name: value for name, value in self._given.items() if name in self._fields}

    def set_value(self, name: str, value: Any) -> None:
        if name not in self._fields or (name in self._given and self._given[name] == value):
            return
        self._given[name] = value
        self.value_changed.emit(name)
        self.changed.emit()

    def set_value_of(self, tool_id: str, name: str, value: Any) -> None:
        """For a tool that may have been left meanwhile."""
        if self._tool is not None and self._tool.id == tool_id:
            self.set_value(name, value)
        else:
            self._draft.values.setdefault(tool_id, {})[name] = value
            self.changed.emit()

    def replace_values(self, values: Mapping[str, Any]) -> None:
        """All at once: names that are missing follow their defaults again."""
        if self._tool is None:
            return
        self._draft.values[self._tool.id] = {name: value for name, value in values.items() if name in self._fields}
        self.values_replaced.emit()
        self.changed.emit()

    def errors(self) -> dict[str, str]:
        """A sentence for every field whose value cannot be used."""
        return {} if self._tool is None else params_schema.find_errors(self._tool, self.values())

    # Seed, count, format
    @property
    def seed(self) -> int:
        return self._draft.seed

    @property
    def seed_fixed(self) -> bool:
        return self._draft.seed_fixed

    def set_seed(self, seed: int, *, fixed: bool) -> None:
        self._draft.seed, self._draft.seed_fixed = seed % SEEDS, fixed
        self.seed_changed.emit()
        self.changed.emit()

    def next_seed(self, *, new: bool = False) -> int:
        """The seed for the next job: the same when it is fixed, else a new one; with `new` always."""
        if new and self._draft.seed_fixed:
            return secrets.randbelow(SEEDS)
        if not self._draft.seed_fixed:
            self.set_seed(secrets.randbelow(SEEDS), fixed=False)
        return self._draft.seed

    @property
    def count(self) -> int:
        return self._draft.count

    def set_count(self, count: int) -> None:
        self._draft.count = max(1, count)
        self.options_changed.emit()
        self.changed.emit()

    @property
    def format(self) -> str:
        return "" if self._tool is None else self._draft.formats.get(self._tool.output, "")

    def set_format(self, extension: str) -> None:
        if self._tool is not None:
            self._draft.formats[self._tool.output] = extension
            self.options_changed.emit()
            self.changed.emit()

    # What the window keeps with it
    @property
    def seconds(self) -> float | None:
        """How long the current tool took last time."""
        return None if self._tool is None else self._draft.seconds.get(self._tool.id)

    def set_seconds(self, tool_id: str, seconds: float) -> None:
        self._draft.seconds[tool_id] = seconds
        self.options_changed.emit()
        self.changed.emit()

    @property
    def unfolded(self) -> list[str]:
        """The groups ("" for none) of the current tool whose seldom changed settings are shown."""
        tool = self._tool.id if self._tool else None
        return [group for one, _, group in (each.partition("#") for each in self._draft.unfolded) if one == tool]

    def set_unfolded(self, group: str, on: bool) -> None:
        if self._tool is not None and on != (group in self.unfolded):
            name = f"{self._tool.id}#{group}" if group else self._tool.id
            if on:
                self._draft.unfolded.append(name)
            else:
                self._draft.unfolded.remove(name)
            self.changed.emit()

    def set_layout(self, geometry: str, layout: str) -> None:
        if (geometry, layout) != (self._draft.geometry, self._draft.layout):
            self._draft.geometry, self._draft.layout = geometry, layout
            self.changed.emit()

    @property
    def _given(self) -> dict[str, Any]:
        return {} if self._tool is None else self._draft.values.setdefault(self._tool.id, {})

    def _choose_again(self) -> None:
        tools = self._catalogue.tools
        tool = tools.get(self._draft.tool) or next(filter(_can_start, tools.values()), next(iter(tools.values()), None))
        if tool is not None and self._draft.tool == "":
            self._draft.tool = tool.id
        if tool != self._tool:
            self._take(tool)

    def _take(self, tool: ToolDescriptor | None) -> None:
        self._tool = tool
        self._fields = {} if tool is None else {field.name: field for field in params_schema.read_fields(tool.schema)}
        self.tool_changed.emit()


def _can_start(tool: ToolDescriptor) -> bool:
    """Whether the models that it asks for by default came with the studio, so that nothing need be fetched."""
    return all(
        offers.is_starter(str(field.default))
        for field in params_schema.read_fields(tool.schema)
        if field.model and field.default
    )
