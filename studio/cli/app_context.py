"""A home with its library, catalogue and engine, each opened when it is first needed."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from queue import SimpleQueue
from types import FrameType

from msgspec.structs import replace

from studio.core import settings
from studio.core.descriptor import Catalogue, DeviceReport, ToolDescriptor
from studio.core.errors import BadInput, StudioError, did_you_mean
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine import catalogue_cache
from studio.engine.interface import EngineEvent, WorkerChanged, WorkerState
from studio.engine.local_engine import LocalEngine
from studio.engine.plugin_fingerprint import fingerprint
from studio.library.library import Library


class Place:
    """Everything happens here and now: the queue is in memory, and the window may be open beside."""

    def __init__(self, home: Home, chosen: Settings) -> None:
        self.home = home
        self.settings = chosen
        self.events: SimpleQueue[EngineEvent] = SimpleQueue()
        self._ready: WorkerChanged | None = None

    @cached_property
    def library(self) -> Library:
        library = Library(self.home)
        library.open()
        if library.needs_sweep:
            library.sweep()
        return library

    @cached_property
    def engine(self) -> LocalEngine:
        engine = LocalEngine(self.home, self.library, self.settings, durable=False)
        engine.subscribe(self.events.put)
        return engine

    @cached_property
    def catalogue(self) -> Catalogue:
        """From the last time, if nothing has changed since; else the plugins are read now."""
        remembered = catalogue_cache.load(self.home.descriptors)
        if remembered.fingerprint == fingerprint(self.home, self.settings):
            return remembered
        self.wait_until_ready()
        return self.engine.catalogue

    def tool(self, name: str) -> ToolDescriptor:
        """Raises BadInput, with what was perhaps meant, where there is none."""
        tools = self.catalogue.tools
        if name not in tools:
            for plugin in self.catalogue.plugins:
                fault = next(filter(None, (plugin.error, *plugin.notes)), "")
                if fault and plugin.name == name.partition(".")[0]:
                    raise BadInput(f"{name} is not there, since its plugin has a fault: {fault}")
            hint = did_you_mean(name, tools) or "See `studio tools`."
            raise BadInput(f"There is no tool {name}.", hint)
        return tools[name]

    def wait_until_ready(self) -> DeviceReport | None:
        """Starts the worker where none runs. Raises StudioError where none can be started."""
        self.engine.start()
        while self._ready is None:
            match self.events.get():
                case WorkerChanged(state=WorkerState.READY) as ready:
                    self._ready = ready
                case WorkerChanged(state=WorkerState.GONE, sentence=sentence):
                    raise StudioError(sentence or "The worker ended.", "See `studio doctor`.")
        return self._ready.device

    def close(self, *, at_once: bool = False) -> None:
        if "engine" in self.__dict__:
            self.engine.close(at_once=at_once)
        if "library" in self.__dict__:
            self.library.close()


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[Place]:
    """The place that the options name. A second Ctrl+C ends its worker at once."""
    home = home_of(options)
    try:
        home.create_folders()
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(f"{home.root} cannot be used as the studio's folder: {reason}.", "Choose another.") from error
    place = Place(home, settings_of(options, home))
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield place
    except BaseException:
        place.close(at_once=True)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    place.close()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """A request to end is treated as Ctrl+C."""
    raise KeyboardInterrupt


def home_of(options: argparse.Namespace) -> Home:
    return Home(options.home.expanduser().absolute()) if options.home else Home.default()


def settings_of(options: argparse.Namespace, home: Home) -> Settings:
    chosen = settings.load(home.settings)
    return replace(chosen, device=options.device) if options.device else chosen
