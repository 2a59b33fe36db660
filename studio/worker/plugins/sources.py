"""Sources of plugins: the bundled folder, the artist's folder, installed distributions."""

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
from typing import Protocol

from studio.core import paths
from studio.core.errors import StudioError
from studio.core.paths import Home

GROUP = "studio.plugins"
"""Entry point group in which a distribution names its plugin module."""

PACKAGE = "studio_plugins"
"""Name of the package as whose submodules files and folders are imported."""


class Source(Protocol):
    """One plugin that is not imported yet."""

    @property
    def name(self) -> str: ...

    @property
    def origin(self) -> str:
        """`bundled`, `user` or `installed`."""

    @property
    def path(self) -> str: ...

    @property
    def version(self) -> str: ...

    def load(self) -> object:
        """Import the plugin. Raises whatever it raises."""

    def unload(self) -> None:
        """Forget its modules, so that the next load reads the files again."""


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
        sys.modules.setdefault(PACKAGE, _make_package())
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
        _forget_modules(self.module)


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

    def load(self) -> object:
        loaded: object = self.entry.load()
        return loaded

    def unload(self) -> None:
        """Forget the module and its package, whose other modules may have changed as well."""
        _forget_modules(self.entry.module.rpartition(".")[0] or self.entry.module)


def find_sources(home: Home) -> Iterator[Source]:
    """Yield all plugins, the bundled ones first, so that no other can take their names or ids."""
    yield from _list_folder(paths.bundled_plugins_folder(), "bundled")
    yield from _list_folder(home.plugins, "user")
    importlib.invalidate_caches()
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        yield EntryPointSource(entry)


def _list_folder(folder: Path, origin: str) -> Iterator[Source]:
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        if file.name.startswith(("_", ".")):
            continue
        if file.suffix == ".py" or (file.is_dir() and any(file.glob("*.py"))):
            yield FileSource(file, origin)


def _make_package() -> ModuleType:
    package = ModuleType(PACKAGE, "Plugins that are files or folders.")
    package.__path__ = []
    return package


def _forget_modules(module: str) -> None:
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        del sys.modules[name]
