"""Commands that change the packages of the environment: `repair` and `plugins install`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from studio.cli.console import Console
from studio.core import paths
from studio.core.errors import BadInput, StudioError
from studio.launcher import packages


def repair(_options: argparse.Namespace, console: Console) -> int:
    """Remove packages that break the studio, and install the pinned ones that are missing or differ."""
    pins = _find_pins()
    problems = packages.find_problems(packages.read_packages(), packages.read_pins(pins))
    for problem in problems:
        console.emit({"package": problem.package, "version": problem.version, "reason": problem.describe()})
        console.print_line(f"{problem.package} {problem.describe()}.")
    if not problems:
        console.print_line("All packages are those that the studio was tested with.")
        return 0
    if (removals := packages.list_removals(problems)) and _run_pip("uninstall", "--yes", *removals):
        raise StudioError(f"{', '.join(removals)} could not be removed.", "See pip's output above.")
    wanted = packages.list_installations(problems, packages.read_pins(pins))
    if wanted and _run_pip("install", "--no-deps", *wanted):
        raise StudioError(f"{', '.join(wanted)} could not be installed.", "See pip's output above.")
    return 0


def install(options: argparse.Namespace, console: Console) -> int:
    """Install plugins with pip, by the studio's pins, so that none of its own packages is replaced."""
    if _run_pip("install", "-c", str(_find_pins()), *options.packages):
        raise StudioError(
            f"{', '.join(options.packages)} could not be installed.",
            "See pip's output above. A plugin that needs other versions than the studio's cannot be used with it.",
        )
    problems = packages.find_problems(packages.read_packages(), packages.read_pins(_find_pins()))
    for problem in problems:
        console.print_note(f"{problem.package} {problem.describe()}. `studio repair` removes or replaces it.")
    return 1 if problems else 0


def _find_pins() -> Path:
    pins = paths.find_constraints()
    if pins is None:
        raise BadInput("The studio's constraints.txt was not found.", "Download the whole repository.")
    return pins


def _run_pip(*arguments: str) -> int:
    return subprocess.call([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments])
