"""Where plugins come from: the bundled folder, the artist's folder, installed distributions."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from studio.core import paths
from studio.core.errors import StudioError
from studio.core.paths import Home

GROUP = "studio.plugins"
"""The entry point group in which a distribution names its plugin module."""

PACKAGE = "studio_plugins"
"""Plugins that are files or folders are imported as submodules of this one."""


class Source(Protocol):
    """One plugin that was found and not yet imported."""

    @property
    def name(self) -> str: ...

    @property
    def origin(self) -> str:
        """`bundled`, `user` or `installed`."""

    @property
    def path(self) -> str: ...

    @property
    def version(self) -> str: ...

    def load(self) -> Any:
        """Imports it. May raise whatever the plugin raises."""

    def unload(self) -> None:
        """Forgets its modules, so that the next load reads the files again."""


@dataclass(frozen=True)
class FileSource:
    """A `.py` file, or a folder with an `__init__.py`."""

    file: Path
    origin: str
    version: str = ""

    @property
    def name(self) -> str:
        return self.file.stem if self.file.is_file() else self.file.name

    @property
    def path(self) -> str:
        return str(self.file)

    @property
    def module(self) -> str:
        return f"{PACKAGE}.{re.sub(r'[^0-9a-zA-Z_]', '_', self.name)}"

    def load(self) -> ModuleType:
        entry = self.file / "__init__.py" if self.file.is_dir() else self.file
        if not entry.is_file():
            raise StudioError(f"The folder {self.name} has no __init__.py.", "A plugin folder is a Python package.")
        sys.modules.setdefault(PACKAGE, _namespace())
        spec = importlib.util.spec_from_file_location(
            self.module, entry, submodule_search_locations=[str(self.file)] if self.file.is_dir() else None
        )
        if spec is None or spec.loader is None:
            raise StudioError(f"{self.name} is no Python module.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.module] = module
        # A file that is saved twice within a second would be taken from its stale bytecode.
        writes, sys.dont_write_bytecode = sys.dont_write_bytecode, self.origin == "user"
        try:
            spec.loader.exec_module(module)
        except BaseException:
            self.unload()
            raise
        finally:
            sys.dont_write_bytecode = writes
        return module

    def unload(self) -> None:
        _forget(self.module)


@dataclass(frozen=True)
class EntryPointSource:
    """A module, or an object with hooks, that an installed distribution names."""

    entry: importlib.metadata.EntryPoint
    origin: str = "installed"

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def path(self) -> str:
        return self.entry.value

    @property
    def version(self) -> str:
        return self.entry.dist.version if self.entry.dist is not None else ""

    def load(self) -> Any:
        return self.entry.load()

    def unload(self) -> None:
        """With the package that it lies in, whose other modules may have changed as well."""
        _forget(self.entry.module.rpartition(".")[0] or self.entry.module)


def find(home: Home) -> Iterator[Source]:
    """Bundled plugins first, so that no other can take their names or ids."""
    yield from _in_folder(paths.bundled_plugins(), "bundled")
    yield from _in_folder(home.plugins, "user")
    importlib.invalidate_caches()
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        yield EntryPointSource(entry)


def _in_folder(folder: Path, origin: str) -> Iterator[Source]:
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        if file.name.startswith(("_", ".")):
            continue
        if file.suffix == ".py" or (file.is_dir() and any(file.glob("*.py"))):
            yield FileSource(file, origin)


def _namespace() -> ModuleType:
    package = ModuleType(PACKAGE, "Plugins that are files or folders.")
    package.__path__ = []
    return package


def _forget(module: str) -> None:
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        del sys.modules[name]
