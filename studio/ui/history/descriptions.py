"""Short descriptions of a creation."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QDateTime, QLocale, Qt

from studio.core.humanize import describe_model_kind, format_duration, format_size, group_digits
from studio.library.creation import Creation, CreationKind

ToolTitle = Callable[[str], str]
"""Function that returns a tool's title from its id."""


def title_from_tool_id(tool: str) -> str:
    """Return a title made from a tool's id: ``style.transfer`` gives "Style transfer"."""
    return tool.replace(".", " ").replace("_", " ").replace("-", " ").strip().capitalize()


def name_of(creation: Creation, tool_title: ToolTitle = title_from_tool_id) -> str:
    """Return one line that names a creation in its lineage."""
    if creation.tool == "import":
        return f"{creation.title or 'A file'}, imported"
    made_by = tool_title(creation.tool)
    return f"{creation.title} · {made_by}" if creation.title else made_by


def describe_creation(creation: Creation, tool_title: ToolTitle = title_from_tool_id) -> list[str]:
    """Return short facts about a creation: tool, size, seed and date."""
    facts = ["Imported" if creation.tool == "import" else tool_title(creation.tool)]
    if creation.kind is CreationKind.MODEL and creation.model_kind:
        facts.append(describe_model_kind(creation.model_kind))
    if creation.width and creation.height:
        facts.append(f"{creation.width} × {creation.height}")
    if creation.duration:
        facts.append(format_duration(creation.duration))
    if creation.size:
        facts.append(format_size(creation.size))
    if creation.recipe is not None and creation.tool != "import":
        facts.append(f"Seed {group_digits(creation.recipe.seed)}")
    if when := format_local_time(creation.created):
        facts.append(when)
    return facts


def format_local_time(created: str) -> str:
    """Return a UTC time as local date and time, or an empty string if it is invalid."""
    when = QDateTime.fromString(created, Qt.DateFormat.ISODateWithMs)
    if not when.isValid():
        return ""
    return QLocale().toString(when.toLocalTime(), "d MMM yyyy, HH:mm")
