"""The commands that show something and change nothing."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from studio.cli.app_context import Place, opened
from studio.cli.console import Console
from studio.core import params_schema
from studio.core.descriptor import Field, PluginDescriptor
from studio.core.errors import BadInput
from studio.core.recipe import Recipe
from studio.library.foreign.metadata import read_metadata
from studio.library.storage import recipe_embedding

_ID = re.compile(r"[0-9a-f]{6,64}")


def tools(options: argparse.Namespace, console: Console) -> int:
    with opened(options) as place:
        found = sorted(place.catalogue.tools.values(), key=lambda tool: tool.id)
        for tool in found:
            console.emit({"id": tool.id, "title": tool.title, "plugin": tool.plugin, "output": tool.output,
                          "lane": tool.lane, "version": tool.version, "summary": tool.summary})  # fmt: skip
        if found:
            console.table([("Tool", "Title", "Plugin", "Makes"), *((t.id, t.title, t.plugin, t.output) for t in found)])
        _say_what_failed(place.catalogue.plugins, console)
    return 0


def describe(options: argparse.Namespace, console: Console) -> int:
    with opened(options) as place:
        tool = place.tool(options.tool)
        fields = params_schema.read_fields(tool.schema)
    console.emit({"id": tool.id, "title": tool.title, "summary": tool.summary, "plugin": tool.plugin,
                  "plugin_version": tool.plugin_version, "version": tool.version, "output": tool.output,
                  "lane": tool.lane, "live": tool.live, "pausable": tool.pausable, "params": fields})  # fmt: skip
    console.say(f"{tool.id}: {tool.title}. {tool.summary}".strip())
    if fields:
        console.say("")
        rows = [(field.name, kind(field), default(field), bounds(field), field.help) for field in fields]
        console.table([("Parameter", "Type", "Default", "Bounds", "Meaning"), *rows])
    return 0


def recipe(options: argparse.Namespace, console: Console) -> int:
    with opened(options) as place:
        path = _file(options.file, place)
    own = recipe_embedding.read_recipe(path)
    foreign = None if own else read_metadata(path)
    if own is None and foreign is None:
        raise BadInput(f"{path.name} carries no recipe.")
    found = msgspec.to_builtins(own or foreign)
    console.emit(found)
    steers = not json.dumps(found, ensure_ascii=False).isprintable()
    console.say(json.dumps(found, indent=2, ensure_ascii=steers))  # a stranger's text must not steer the terminal
    return 0


def history(options: argparse.Namespace, console: Console) -> int:
    if options.limit < 1:
        raise BadInput(f"--limit must be at least 1, not {options.limit}.")
    with opened(options) as place:
        found = place.library.search(" ".join(options.query), limit=options.limit)
    for creation in found:
        console.emit(creation)
    rows = [
        (one.created[:16].replace("T", " "), "*" if one.star else " ", one.kind.value, one.tool,
         str(one.recipe.seed) if one.recipe else "", one.id[:10], _short(one.title), one.path)
        for one in found
    ]  # fmt: skip
    if rows:
        console.table(rows)
    elif not console.json:
        console.note("Nothing was found." if options.query else "Nothing was made yet. Try `studio tools`.")
    return 0


def plugins(options: argparse.Namespace, console: Console) -> int:
    with opened(options) as place:
        found = place.catalogue.plugins
    for plugin in found:
        console.emit({"name": plugin.name, "title": plugin.title, "version": plugin.version, "source": plugin.source,
                      "path": plugin.path, "tools": [tool.id for tool in plugin.tools], "loaded": not plugin.error,
                      "error": plugin.error, "details": plugin.details, "notes": plugin.notes})  # fmt: skip
    if found:
        rows = [
            (one.name, one.version, one.source, "failed" if one.error else f"{len(one.tools)} tools") for one in found
        ]
        console.table([("Plugin", "Version", "From", ""), *rows])
    _say_what_failed(found, console)
    return 0


def recipe_in(name: str, place: Place) -> Recipe:
    """The recipe inside a file or creation. Raises BadInput where there is none of ours."""
    path = _file(name, place)
    found = recipe_embedding.read_recipe(path)
    if found is None:
        raise BadInput(f"{path.name} carries no recipe of the studio.", f"See `studio recipe {path}`.")
    return found


def kind(field: Field) -> str:
    name = field.widget.value
    return f"list of {name}" if field.many else name


def default(field: Field) -> str:
    if field.required:
        return "(needed)"
    if field.default is None:
        return ""
    return field.default if isinstance(field.default, str) else json.dumps(field.default, ensure_ascii=False)


def bounds(field: Field) -> str:
    parts = []
    if field.choices:
        parts.append(" | ".join(str(choice) for choice in field.choices))
    if field.minimum is not None or field.maximum is not None:
        low, high = ("" if bound is None else f"{bound:g}" for bound in (field.minimum, field.maximum))
        parts.append(f"{low}..{high} {field.unit}".strip())
    elif field.unit:
        parts.append(field.unit)
    if field.many and (field.min_items or field.max_items is not None):
        parts.append(f"{field.min_items} to {'any number' if field.max_items is None else field.max_items}")
    if field.accepts:
        parts.append(" ".join(field.accepts))
    return ", ".join(parts)


def _file(name: str, place: Place) -> Path:
    path = Path(name).expanduser()
    if not path.exists() and _ID.fullmatch(name) and (creation := place.library.get(name)):
        return Path(creation.path)
    if not path.exists():
        raise BadInput(f"There is no file {name}.", "Check the path.")
    return path.absolute()


def _say_what_failed(found: Sequence[PluginDescriptor], console: Console) -> None:
    if console.json:
        return
    for plugin in found:
        for sentence in filter(None, (plugin.error, *plugin.notes)):
            console.note(f"{plugin.name}: {sentence}")


def _short(title: Any, length: int = 40) -> str:
    text = " ".join(str(title).split())
    return text if len(text) <= length else f"{text[: length - 1]}…"
