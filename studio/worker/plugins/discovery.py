"""The one loader for all plugins. Each is imported and asked for its tools in a `try` of its own."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pluggy
from msgspec.structs import replace

from studio import api
from studio.api import validation
from studio.api.hookspecs import PROJECT, Hooks
from studio.core.descriptor import Catalogue, PluginDescriptor, ToolDescriptor
from studio.core.errors import StudioError, describe_exception, did_you_mean
from studio.worker import process_state
from studio.worker.plugins.descriptors import describe
from studio.worker.plugins.sources import Source

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedPlugins:
    """The descriptors of all plugins, and the tools of those that loaded."""

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
    guard: Callable[[Source], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> LoadedPlugins:
    """Import each plugin, ask it for its tools, and describe them.

    A plugin that fails is listed with its traceback; a tool that breaks a rule is left out
    and named in its plugin's notes. Importing happens inside `guard(source)`, which raises
    StudioError for a plugin that must not be imported.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    disabled = frozenset(disabled)
    descriptors: list[PluginDescriptor] = []
    tools: dict[str, type[api.Tool]] = {}
    imported: list[Source] = []
    names: set[str] = set()
    for source in sources:
        descriptor = PluginDescriptor(
            name=source.name, title=_title(source.name), version=source.version, source=source.origin, path=source.path
        )
        if source.name in names:
            descriptors.append(
                replace(descriptor, error=f"There is already a plugin named {source.name}; this one was left out.")
            )
            continue
        names.add(source.name)
        if source.name in disabled:
            descriptors.append(replace(descriptor, notes=("Disabled.",)))
            continue
        imported.append(source)
        notes: list[str] = []
        try:
            with guard(source), _keep_process_state(descriptor.title, notes):
                plugin, classes = _load(manager, source)
            notes += _find_unknown_hooks(manager, plugin)
            descriptors.append(_describe_plugin(descriptor, plugin, classes, tools, notes))
        except StudioError as error:
            descriptors.append(replace(descriptor, error=str(error)))
        except BaseException as error:  # a plugin may raise anything, SystemExit too
            _log.warning("the plugin %s cannot be used", source.name, exc_info=True)
            sentence = f"{descriptor.title} cannot be loaded: {describe_exception(error)}"
            descriptors.append(replace(descriptor, error=sentence, details=traceback.format_exc()))
    return LoadedPlugins(Catalogue(tuple(descriptors)), tools, tuple(imported))


@contextmanager
def _keep_process_state(title: str, notes: list[str]) -> Iterator[None]:
    """Set back what a plugin's import changes for the whole process, and add a sentence about it to the notes."""
    before = process_state.read()
    try:
        yield
    finally:
        if changed := process_state.restore(before):
            notes.append(process_state.describe(f"The import of {title}", changed))
            _log.warning(notes[-1])


def _load(manager: pluggy.PluginManager, source: Source) -> tuple[object, list[Any]]:
    """Import a plugin; return it and what its hook returned. Raises StudioError, or whatever the plugin raises."""
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
        hint = (
            " ".join(_find_unknown_hooks(manager, plugin)) or "A plugin has a function studio_tools with @api.hookimpl."
        )
        raise StudioError(f"{source.name} brings no tools.", hint)
    others = [other for other in manager.get_plugins() if other is not plugin]
    answers = manager.subset_hook_caller("studio_tools", remove_plugins=others)()
    return plugin, [tool for tools in answers for tool in _check_list(source, tools)]


def _check_list(source: Source, tools: object) -> list[Any]:
    if isinstance(tools, list | tuple):
        return list(tools)
    raise StudioError(f"The studio_tools of {source.name} must return a list of tools, and returned {tools!r}.")


def _describe_plugin(
    descriptor: PluginDescriptor,
    plugin: object,
    classes: list[Any],
    tools: dict[str, type[api.Tool]],
    notes: Iterable[str],
) -> PluginDescriptor:
    """Add the plugin's valid tools to `tools` and to its descriptor, and the problems of others to its notes."""
    version = str(descriptor.version or getattr(plugin, "__version__", ""))
    accepted: list[ToolDescriptor] = []
    problems = list(notes)
    for tool in classes:
        if found := validation.find_problems(tool):
            problems += found
        elif tool.id in tools:
            problems.append(f"There is already a tool {tool.id}; this one was left out.")
        else:
            tools[tool.id] = tool
            accepted.append(describe(tool, descriptor.name, version))
    title = getattr(plugin, "title", None)
    return replace(
        descriptor,
        title=title if isinstance(title, str) and title else descriptor.title,
        version=version,
        tools=tuple(accepted),
        notes=tuple(problems),
    )


def _find_unknown_hooks(manager: pluggy.PluginManager, plugin: object) -> Iterator[str]:
    """Yield a sentence for each hook that the plugin marks and the studio does not have."""
    known = [name for name in vars(Hooks) if not name.startswith("_")]
    for caller in manager.get_hookcallers(plugin) or ():
        if not caller.has_spec():
            yield f"There is no hook {caller.name}. {did_you_mean(caller.name, known)}".strip()


def _title(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").strip().capitalize()
