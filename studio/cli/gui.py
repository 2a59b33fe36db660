"""Opens the window, which `studio` does without a command."""

from __future__ import annotations

import argparse

from studio.cli.app_context import home_of
from studio.cli.console import Console
from studio.core.errors import BadInput


def window(options: argparse.Namespace, console: Console) -> int:
    if console.json:
        raise BadInput("--json needs a command.", "See `studio --help`.")
    from studio.ui.app import main

    return main(home_of(options), options.device or "")
