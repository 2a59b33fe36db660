"""Facts about a creation in an artist's words."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QDateTime, QLocale, Qt

from studio.core.humanize import format_duration, format_size, group_digits
from studio.library.creation import Creation, CreationKind

ToolTitle = Callable[[str], str]
"""From a tool's id to its title."""


def title_from_tool_id(tool: str) -> str:
    """A tool's title as far as its id tells it: ``style.transfer`` is "Style transfer"."""
    return tool.replace(".", " ").replace("_", " ").replace("-", " ").strip().capitalize()


def name_of(creation: Creation, tool_title: ToolTitle = title_from_tool_id) -> str:
    """One line: what it is, in the chain of what it came from."""
    if creation.tool == "import":
        return f"{creation.title or 'A file'}, imported"
    made_by = tool_title(creation.tool)
    return f"{creation.title} · {made_by}" if creation.title else made_by


def describe_creation(creation: Creation, tool_title: ToolTitle = title_from_tool_id) -> list[str]:
    """Short facts, in the order of their interest."""
    said = ["Imported" if creation.tool == "import" else tool_title(creation.tool)]
    if creation.kind is CreationKind.MODEL and creation.model_kind:
        said.append(creation.model_kind.replace("-", " ").capitalize())
    if creation.width and creation.height:
        said.append(f"{creation.width} × {creation.height}")
    if creation.duration:
        said.append(format_duration(creation.duration))
    if creation.size:
        said.append(format_size(creation.size))
    if creation.recipe is not None and creation.tool != "import":
        said.append(f"Seed {group_digits(creation.recipe.seed)}")
    if when := format_local_time(creation.created):
        said.append(when)
    return said


def format_local_time(created: str) -> str:
    """A time in UTC as local date and time; empty when it is none."""
    when = QDateTime.fromString(created, Qt.DateFormat.ISODateWithMs)
    if not when.isValid():
        return ""
    return QLocale().toString(when.toLocalTime(), "d MMM yyyy, HH:mm")
