"""A fingerprint of the plugins' files: shows without an import whether they changed since they were last read."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import studio
from studio.core import paths
from studio.core.paths import Home
from studio.core.settings import Settings

ENTRY_POINTS = "studio.plugins"
_CODE = (".py", ".json", ".toml", ".pyd", ".so")


def fingerprint(home: Home, settings: Settings) -> str:
    """Return a hash of names, sizes and times of the plugins' files, and of the distributions that have plugins."""
    digest = hashlib.sha256()
    for line in _lines(home, settings):
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _lines(home: Home, settings: Settings) -> Iterator[str]:
    from importlib.metadata import entry_points  # takes longer to import than the window may take to open

    yield f"studio {studio.__version__} python {sys.version}"
    yield f"disabled {sorted(settings.disabled_plugins)}"
    folders = [
        paths.bundled_plugins_folder(),
        home.plugins,
        *(paths.PACKAGE / part for part in ("api", "core", "worker")),
    ]
    for folder in folders:
        yield from _files(folder)
    for point in sorted(entry_points(group=ENTRY_POINTS)):
        yield f"installed {point.name} {point.value} {point.dist.version if point.dist else ''}"


def _files(folder: Path) -> Iterator[str]:
    for here, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if name != "__pycache__" and not name.startswith("."))
        for name in sorted(names):
            if name.endswith(_CODE):
                path = os.path.join(here, name)  # noqa: PTH118 - a Path for each is slower than the walk
                try:
                    state = os.stat(path)  # noqa: PTH116
                except OSError:
                    continue
                yield f"{path} {state.st_size} {state.st_mtime_ns}"
