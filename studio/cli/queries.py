"""Read-only commands: tools, describe, recipe, history, plugins."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from studio.cli.app_context import AppContext, open_app
from studio.cli.console import Console
from studio.cli.path_argument import parse_path
from studio.core import params_schema
from studio.core.descriptor import Field, PluginDescriptor
from studio.core.errors import BadInput, StudioError
from studio.library.creation import Creation
from studio.library.foreign.metadata import read_metadata
from studio.library.storage import recipe_embedding

MAX_LIMIT = 10_000_000
_ID = re.compile(r"[0-9a-f]{6,64}")


def tools(options: argparse.Namespace, console: Console) -> int:
    with open_app(options, console) as app:
        descriptors = sorted(app.catalogue.tools.values(), key=lambda tool: tool.id)
        for tool in descriptors:
            console.emit({"id": tool.id, "title": tool.title, "plugin": tool.plugin, "output": tool.output,
                          "lane": tool.lane, "version": tool.version, "summary": tool.summary})  # fmt: skip
        if descriptors:
            console.print_table(
                [("Tool", "Title", "Plugin", "Output"), *((t.id, t.title, t.plugin, t.output) for t in descriptors)]
            )
        _print_failures(app.catalogue.plugins, console)
    return 0


def describe(options: argparse.Namespace, console: Console) -> int:
    with open_app(options, console) as app:
        tool = app.find_tool(options.tool)
        fields = params_schema.read_fields(tool.schema)
    console.emit({"id": tool.id, "title": tool.title, "summary": tool.summary, "plugin": tool.plugin,
                  "plugin_version": tool.plugin_version, "version": tool.version, "output": tool.output,
                  "lane": tool.lane, "live": tool.live, "pausable": tool.pausable, "params": fields})  # fmt: skip
    console.print_line(f"{tool.id}: {tool.title}. {tool.summary}".strip())
    if fields:
        console.print_line("")
        rows = [
            (field.name, describe_type(field), describe_default(field), describe_bounds(field), field.help)
            for field in fields
        ]
        console.print_table([("Parameter", "Type", "Default", "Bounds", "Meaning"), *rows])
    return 0


def recipe(options: argparse.Namespace, console: Console) -> int:
    with open_app(options, console) as app:
        path = resolve_file(options.file, app)
    own = recipe_embedding.read_recipe(path)
    foreign = None if own else read_metadata(path)
    if own is None and foreign is None:
        raise BadInput(f"{path.name} contains no recipe.")
    content = msgspec.to_builtins(own or foreign)
    console.emit(content)
    is_unsafe = not json.dumps(content, ensure_ascii=False).isprintable()
    console.print_line(
        json.dumps(content, indent=2, ensure_ascii=is_unsafe)
    )  # foreign text must not control the terminal
    return 0


def history(options: argparse.Namespace, console: Console) -> int:
    if not 1 <= options.limit <= MAX_LIMIT:
        raise BadInput(f"--limit must be between 1 and {MAX_LIMIT}, not {options.limit}.")
    with open_app(options, console) as app:
        if not app.library.needs_sweep:
            with suppress(StudioError):  # what is known is listed, also where the index cannot be written
                app.library.sweep()
        creations = app.library.search(" ".join(options.query), limit=options.limit)
    for creation in creations:
        console.emit(creation)
    rows = [_history_row(creation) for creation in creations]
    if rows:
        console.print_table(rows)
    elif not console.json:
        console.print_note(
            "Nothing found." if options.query else "The library is empty. Run `studio tools` for a list of tools."
        )
    return 0


def plugins(options: argparse.Namespace, console: Console) -> int:
    with open_app(options, console) as app:
        descriptors = app.catalogue.plugins
    for plugin in descriptors:
        console.emit({"name": plugin.name, "title": plugin.title, "version": plugin.version, "source": plugin.source,
                      "path": plugin.path, "tools": [tool.id for tool in plugin.tools], "loaded": not plugin.error,
                      "error": plugin.error, "details": plugin.details, "notes": plugin.notes})  # fmt: skip
    if descriptors:
        rows = [
            (plugin.name, plugin.version, plugin.source, "failed" if plugin.error else f"{len(plugin.tools)} tools")
            for plugin in descriptors
        ]
        console.print_table([("Plugin", "Version", "Source", ""), *rows])
    _print_failures(descriptors, console)
    return 0


def describe_type(field: Field) -> str:
    """Return the type of a parameter, such as ``list of image``."""
    name = field.widget.value
    return f"list of {name}" if field.many else name


def describe_default(field: Field) -> str:
    """Return the default of a parameter; empty for none."""
    if field.required:
        return "(required)"
    if field.default is None:
        return ""
    return field.default if isinstance(field.default, str) else json.dumps(field.default, ensure_ascii=False)


def describe_bounds(field: Field) -> str:
    """Return choices, range, unit, list length and file extensions of a parameter."""
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


def resolve_file(name: str, app: AppContext) -> Path:
    """Return the path of a file or creation. Raises BadInput if there is none."""
    path = parse_path(name)
    if not path.exists() and _ID.fullmatch(name) and (creation := app.library.get(name)):
        return Path(creation.path)
    if not name.strip() or not path.exists():
        raise BadInput(f"There is no file {name or 'without a name'}.", "Check the path.")
    return path.absolute()


def _print_failures(plugins: Sequence[PluginDescriptor], console: Console) -> None:
    if console.json:
        return
    for plugin in plugins:
        for sentence in filter(None, (plugin.error, *plugin.notes)):
            console.print_note(f"{plugin.name}: {sentence}")


def _history_row(creation: Creation) -> tuple[str, ...]:
    seed = str(creation.recipe.seed) if creation.recipe else ""
    time = creation.created[:16].replace("T", " ")
    star = "*" if creation.star else " "
    title = _shorten(creation.title)
    return time, star, creation.kind.value, creation.tool, seed, creation.id[:10], title, creation.path


def _shorten(title: str, length: int = 40) -> str:
    text = " ".join(title.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"
