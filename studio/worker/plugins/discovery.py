"""One loader for all plugins. Each is imported and asked in a `try` of its own."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pluggy

from studio import api
from studio.api import validation
from studio.api.hookspecs import PROJECT, Hooks
from studio.core.descriptor import Catalogue, PluginDescriptor, ToolDescriptor
from studio.core.errors import StudioError, did_you_mean
from studio.worker.plugins.descriptors import describe
from studio.worker.plugins.sources import Source

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plugins:
    """What discovery found: the descriptors of all plugins, and the tools of those that loaded."""

    catalogue: Catalogue = field(default_factory=Catalogue)
    tools: dict[str, type[api.Tool]] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()

    def unload(self) -> None:
        for source in self.sources:
            source.unload()


def discover(
    sources: Iterable[Source],
    *,
    disabled: Iterable[str] = (),
    guarded: Callable[[Source], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> Plugins:
    """Imports each plugin, asks it for its tools, and describes them.

    A plugin that fails is listed with its traceback; a tool that breaks a rule is left out
    and named in its plugin's notes. Importing happens inside `guarded(source)`, which raises
    StudioError for a plugin that must not be imported.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    switched_off = frozenset(disabled)
    loaded: list[PluginDescriptor] = []
    tools: dict[str, type[api.Tool]] = {}
    imported: list[Source] = []
    names: set[str] = set()
    for source in sources:
        found = PluginDescriptor(
            name=source.name, title=_title(source.name), version=source.version, source=source.origin, path=source.path
        )
        if source.name in names:
            loaded.append(_with(found, error=f"There is already a plugin named {source.name}; this one was left out."))
            continue
        names.add(source.name)
        if source.name in switched_off:
            loaded.append(_with(found, notes=("Switched off.",)))
            continue
        imported.append(source)
        try:
            with guarded(source):
                plugin, classes = _load(manager, source)
            loaded.append(_described(found, plugin, classes, tools, _misspelt(manager, plugin)))
        except StudioError as error:
            loaded.append(_with(found, error=str(error)))
        except BaseException as error:  # a plugin may raise anything, SystemExit too
            _log.warning("the plugin %s cannot be used", source.name, exc_info=True)
            sentence = f"{found.title} cannot be loaded: {_said(error)}"
            loaded.append(_with(found, error=sentence, details=traceback.format_exc()))
    return Plugins(Catalogue(tuple(loaded)), tools, tuple(imported))


def _load(manager: pluggy.PluginManager, source: Source) -> tuple[Any, list[Any]]:
    plugin = source.load()
    needed = getattr(plugin, "api_version", api.API_VERSION)
    if isinstance(needed, bool) or not isinstance(needed, int):
        raise StudioError(f"The api_version of {source.name} must be a whole number, and is {needed!r}.")
    if needed > api.API_VERSION:
        raise StudioError(
            f"{source.name} was made for a newer studio (plugin API {needed}, this one has {api.API_VERSION}).",
            "Update the studio to use it.",
        )
    manager.register(plugin, name=source.name)
    if not any(caller.name == "studio_tools" for caller in manager.get_hookcallers(plugin) or ()):
        hint = " ".join(_misspelt(manager, plugin)) or "A plugin has a function studio_tools with @api.hookimpl."
        raise StudioError(f"{source.name} brings no tools.", hint)
    others = [other for other in manager.get_plugins() if other is not plugin]
    answers = manager.subset_hook_caller("studio_tools", remove_plugins=others)()
    return plugin, [tool for tools in answers for tool in _listed(source, tools)]


def _listed(source: Source, tools: Any) -> list[Any]:
    if isinstance(tools, list | tuple):
        return list(tools)
    raise StudioError(f"The studio_tools of {source.name} must return a list of tools, and returned {tools!r}.")


def _described(
    found: PluginDescriptor, plugin: Any, classes: list[Any], tools: dict[str, type[api.Tool]], notes: Iterable[str]
) -> PluginDescriptor:
    version = str(found.version or getattr(plugin, "__version__", ""))
    kept: list[ToolDescriptor] = []
    refused = list(notes)
    for tool in classes:
        if faults := validation.find_problems(tool):
            refused += faults
        elif tool.id in tools:
            refused.append(f"There is already a tool {tool.id}; this one was left out.")
        else:
            tools[tool.id] = tool
            kept.append(describe(tool, found.name, version))
    title = getattr(plugin, "title", None)
    return _with(
        found,
        title=title if isinstance(title, str) and title else found.title,
        version=version,
        tools=tuple(kept),
        notes=tuple(refused),
    )


def _misspelt(manager: pluggy.PluginManager, plugin: Any) -> Iterator[str]:
    """Hooks that the plugin marks and the studio does not know."""
    known = [name for name in vars(Hooks) if not name.startswith("_")]
    for caller in manager.get_hookcallers(plugin) or ():
        if not caller.has_spec():
            yield f"There is no hook {caller.name}. {did_you_mean(caller.name, known)}".strip()


def _with(found: PluginDescriptor, **changes: Any) -> PluginDescriptor:
    import msgspec

    return msgspec.structs.replace(found, **changes)


def _title(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").strip().capitalize()


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else f"{type(error).__name__}."
