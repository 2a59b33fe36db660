"""Commands that only work in a checkout: benchmarks and tests."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from re import match

from studio.cli.console import Console
from studio.core import paths
from studio.core.errors import BadInput, StudioError


def bench(options: argparse.Namespace, console: Console) -> int:
    root = _find_checkout("The benchmarks")
    arguments = [*([options.name] if options.name else []), *(["--json"] if console.json else [])]
    arguments += ["--minutes", str(options.minutes)] if options.minutes else []
    return _run_module(root, "tests.benchmarks", *arguments)


def test(options: argparse.Namespace, console: Console) -> int:
    """Run the test suite, after installing its missing requirements."""
    root = _find_checkout("The tests")
    extra = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["test"]
    if missing := [requirement for requirement in extra if not _is_installed(requirement)]:
        console.print_note(f"Installing the requirements of the tests: {', '.join(missing)}.")
        pins = root / "constraints.txt"
        if _run_module(root, "pip", "install", "--quiet", *missing, *(["-c", str(pins)] if pins.exists() else [])) != 0:
            raise StudioError("The requirements of the tests could not be installed.", "Check the network connection.")
    return _run_module(root, "pytest", *options.rest)


def _find_checkout(subject: str) -> Path:
    root = paths.PACKAGE.parent
    if not ((root / "tests").is_dir() and (root / "pyproject.toml").is_file()):
        raise BadInput(f"{subject} need a checkout, but this is an installed studio.", "Clone the repository.")
    return root


def _is_installed(requirement: str) -> bool:
    name = match(r"[\w.-]+", requirement)
    try:
        return bool(name and version(name[0]))
    except PackageNotFoundError:
        return False


def _run_module(root: Path, module: str, *arguments: str) -> int:
    environment = {"QT_QPA_PLATFORM": "offscreen", **os.environ}
    return subprocess.call([sys.executable, "-m", module, *arguments], cwd=root, env=environment)
