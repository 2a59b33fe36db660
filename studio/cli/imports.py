"""`import`: copies files and models into the library."""

from __future__ import annotations

import argparse

from studio.cli.app_context import open_app
from studio.cli.console import Console
from studio.cli.path_argument import parse_path
from studio.library.models import model_import


def import_files(options: argparse.Namespace, console: Console) -> int:
    """Import files one after the other; the first that cannot be imported ends the command."""
    with open_app(options, console) as app:
        for name in options.files:
            creation = model_import.import_file(app.library, parse_path(name))
            console.emit_event("imported", id=creation.id, title=creation.title, path=creation.path)
            console.print_line(f"{creation.id[:10]}  {creation.title}")
    return 0
