"""The form's state: the tool, its values, seed, count and format."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QObject, Signal

from studio.core import params_schema
from studio.core.descriptor import Catalogue, Field, ToolDescriptor
from studio.core.recipe import SEEDS
from studio.library.models import offers
from studio.state.form.draft_store import Draft
from studio.state.form.job_request import JobRequest


class Workspace(QObject):
    """Values are kept for each tool. A value that was never set follows the tool's default."""

    tool_changed = Signal()
    """Another tool is chosen, or the same tool has another descriptor."""
    value_changed = Signal(str)
    """The name of a parameter of the current tool."""
    values_replaced = Signal()
    seed_changed = Signal()
    options_changed = Signal()
    """Count or format."""
    changed = Signal()
    """Anything that is stored in the draft has changed."""

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
        """The live draft; it changes with every edit."""
        return self._draft

    def restore(self, draft: Draft) -> None:
        self._draft = draft
        self._choose_initial()

    def set_catalogue(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._choose_initial()

    def choose(self, tool_id: str) -> None:
        """Choose a tool. Does nothing for one that does not exist."""
        tool = self._catalogue.tools.get(tool_id)
        if tool is None or tool == self._tool:
            return
        self._draft.tool = tool_id
        self._draft.last_tools[tool.plugin] = tool_id
        self._set_tool(tool)
        self.changed.emit()

    def choose_plugin(self, plugin: str) -> None:
        """Choose the tool of a plugin that was used last, or its first."""
        tools = [tool.id for known in self._catalogue.plugins if known.name == plugin for tool in known.tools]
        last = self._draft.last_tools.get(plugin, "")
        if tools:
            self.choose(last if last in tools else tools[0])

    def value(self, name: str) -> Any:
        field = self._fields[name]
        return self._own_values.get(name, field.default)

    def values(self) -> dict[str, Any]:
        """Return the values that were set for the current tool, without those that follow a default."""
        return {name: value for name, value in self._own_values.items() if name in self._fields}

    def set_value(self, name: str, value: object) -> None:
        if name not in self._fields or (name in self._own_values and self._own_values[name] == value):
            return
        self._own_values[name] = value
        self.value_changed.emit(name)
        self.changed.emit()

    def set_value_of(self, tool_id: str, name: str, value: object) -> None:
        """Set a value of a tool that may no longer be the current one."""
        if self._tool is not None and self._tool.id == tool_id:
            self.set_value(name, value)
        else:
            self._draft.values.setdefault(tool_id, {})[name] = value
            self.changed.emit()

    def replace_values(self, values: Mapping[str, Any]) -> None:
        """Set all values; those that are missing follow their defaults again."""
        if self._tool is None:
            return
        self._draft.values[self._tool.id] = {name: value for name, value in values.items() if name in self._fields}
        self.values_replaced.emit()
        self.changed.emit()

    def build_request(self, tool_id: str = "") -> JobRequest | None:
        """Return the request that the form holds for the current tool or another one; None where there is no tool."""
        tool = self._catalogue.tools.get(tool_id) if tool_id else self._tool
        if tool is None:
            return None
        names = {field.name for field in params_schema.read_fields(tool.schema)}
        values = {name: value for name, value in self._draft.values.get(tool.id, {}).items() if name in names}
        return JobRequest(tool, values, count=self.count, format=self._draft.formats.get(tool.output, ""))

    def show_request(self, request: JobRequest) -> None:
        """Show the tool and the values of a request in the form."""
        self.choose(request.tool.id)
        self.replace_values(request.values)

    def errors(self) -> dict[str, str]:
        """Return a sentence for each field of the form with a wrong value."""
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
        """Return the seed for the next job: a fixed one, or else a new one; with `new` always a new one."""
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

    # Stored with the draft
    @property
    def seconds(self) -> float | None:
        """The seconds that the current tool took last time."""
        return None if self._tool is None else self._draft.seconds.get(self._tool.id)

    def set_seconds(self, tool_id: str, seconds: float) -> None:
        self._draft.seconds[tool_id] = seconds
        self.options_changed.emit()
        self.changed.emit()

    @property
    def unfolded(self) -> list[str]:
        """The groups ("" for none) of the current tool whose advanced settings are shown."""
        tool = self._tool.id if self._tool else None
        entries = (entry.partition("#") for entry in self._draft.unfolded)
        return [group for name, _, group in entries if name == tool]

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
    def _own_values(self) -> dict[str, Any]:
        return {} if self._tool is None else self._draft.values.setdefault(self._tool.id, {})

    def _choose_initial(self) -> None:
        tools = self._catalogue.tools
        default = next(filter(_needs_no_download, tools.values()), next(iter(tools.values()), None))
        tool = tools.get(self._draft.tool) or default
        if tool is not None and self._draft.tool == "":
            self._draft.tool = tool.id
        if tool != self._tool:
            self._set_tool(tool)

    def _set_tool(self, tool: ToolDescriptor | None) -> None:
        self._tool = tool
        self._fields = {} if tool is None else {field.name: field for field in params_schema.read_fields(tool.schema)}
        self.tool_changed.emit()


def _needs_no_download(tool: ToolDescriptor) -> bool:
    """Check whether the tool's default models are starters."""
    return all(
        offers.is_starter(str(field.default))
        for field in params_schema.read_fields(tool.schema)
        if field.model and field.default
    )
