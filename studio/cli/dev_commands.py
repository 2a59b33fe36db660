"""What only a checkout has: benchmarks and tests."""

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
    root = _checkout("The benchmarks")
    more = [*([options.name] if options.name else []), *(["--json"] if console.json else [])]
    return _python(root, "tests.benchmarks", *more)


def test(options: argparse.Namespace, console: Console) -> int:
    """With the test extra installed first, where it is not yet."""
    root = _checkout("The tests")
    extra = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["test"]
    if missing := [requirement for requirement in extra if not _installed(requirement)]:
        console.note(f"Installing what the tests need: {', '.join(missing)}.")
        pins = root / "constraints.txt"
        if _python(root, "pip", "install", "--quiet", *missing, *(["-c", str(pins)] if pins.exists() else [])) != 0:
            raise StudioError("What the tests need could not be installed.", "Is there a network?")
    return _python(root, "pytest", *options.rest)


def _checkout(what: str) -> Path:
    root = paths.PACKAGE.parent
    if not ((root / "tests").is_dir() and (root / "pyproject.toml").is_file()):
        raise BadInput(f"{what} need a checkout, and this studio is an installed one.", "Clone its repository.")
    return root


def _installed(requirement: str) -> bool:
    name = match(r"[\w.-]+", requirement)
    try:
        return bool(name and version(name[0]))
    except PackageNotFoundError:
        return False


def _python(root: Path, module: str, *arguments: str) -> int:
    environment = {"QT_QPA_PLATFORM": "offscreen", **os.environ}
    return subprocess.call([sys.executable, "-m", module, *arguments], cwd=root, env=environment)
