"""`export`: copies a creation, and says what the copy includes."""

from __future__ import annotations

import argparse
from pathlib import Path

from msgspec.structs import replace

from studio.cli.app_context import AppContext, open_app
from studio.cli.console import Console
from studio.cli.models import find_trained
from studio.core import settings
from studio.core.errors import BadInput
from studio.library.creation import Creation
from studio.library.storage import export_contents


def export(options: argparse.Namespace, console: Console) -> int:
    with open_app(options, console) as app:
        stored = settings.load(app.home.settings)
        include = export_contents.parse_include(options.include or stored.export_include)
        creation = _find_creation(options.file, app)
        path = app.library.export(creation.id, Path(options.out), include)
        if options.include and include.value != stored.export_include:
            settings.save(app.home.settings, replace(stored, export_include=include.value))
    contents = export_contents.describe_contents(creation, include)
    console.emit_event("exported", path=str(path), include=include.value, contents=contents)
    console.print_line(str(path))
    if not console.json:
        console.print_note(contents)
    return 0


def _find_creation(name: str, app: AppContext) -> Creation:
    path = Path(name).expanduser()
    if path.exists():
        return app.library.add(path)
    if creation := app.library.get(name) or find_trained(name, app):
        return creation
    raise BadInput(f"There is neither a file nor a creation or model {name}.", "See `studio history`.")
