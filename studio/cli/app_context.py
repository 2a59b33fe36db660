"""The context of a command: a home with its library, catalogue and engine, opened on first use."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from queue import SimpleQueue
from types import FrameType

from msgspec.structs import replace

from studio.cli.console import Console
from studio.cli.path_argument import parse_path
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


class AppContext:
    """Library, catalogue and engine of one command. The queue is in memory, so the window may run at the same time."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self.home = home
        self.settings = settings
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
        engine = LocalEngine(self.library.home, self.library, self.settings, durable=False)
        engine.subscribe(self.events.put)
        return engine

    @cached_property
    def catalogue(self) -> Catalogue:
        """The cached catalogue if no plugin has changed, else the one that the worker reports."""
        cached = catalogue_cache.load(self.home.descriptors)
        if cached.fingerprint == fingerprint(self.home, self.settings):
            return cached
        self.wait_until_ready()
        return self.engine.catalogue

    def find_tool(self, name: str) -> ToolDescriptor:
        """Find a tool by id. Raises BadInput with a suggestion if there is none."""
        tools = self.catalogue.tools
        if name not in tools:
            for plugin in self.catalogue.plugins:
                error = next(filter(None, (plugin.error, *plugin.notes)), "")
                if error and plugin.name == name.partition(".")[0]:
                    raise BadInput(f"{name} is not available because its plugin failed to load: {error}")
            hint = did_you_mean(name, tools) or "Run `studio tools` for a list."
            raise BadInput(f"There is no tool {name}.", hint)
        return tools[name]

    def wait_until_ready(self) -> DeviceReport | None:
        """Start the worker unless it runs, and wait for it. Raises StudioError if it cannot start."""
        self.engine.start()
        while self._ready is None:
            match self.events.get():
                case WorkerChanged(state=WorkerState.READY) as ready:
                    self._ready = ready
                case WorkerChanged(state=WorkerState.GONE, sentence=sentence):
                    raise StudioError(sentence or "The worker has ended.", "Run `studio doctor` to find the cause.")
        return self._ready.device

    def close(self, *, at_once: bool = False) -> None:
        if "engine" in self.__dict__:
            self.engine.close(at_once=at_once)
        if "library" in self.__dict__:
            self.library.close()


@contextmanager
def open_app(options: argparse.Namespace, console: Console) -> Iterator[AppContext]:
    """Open the home that the options name, and print what is wrong with its settings.

    A second Ctrl+C ends its worker at once.
    """
    home = home_of(options)
    try:
        home.create_folders()
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(
            f"{home.root} cannot be used as the studio's folder: {reason}.", "Choose another folder."
        ) from error
    stored, problems = settings.load_with_problems(home.settings)
    for problem in problems:
        console.print_warning(problem)
    app = AppContext(home, replace(stored, device=options.device) if options.device else stored)
    before = signal.signal(signal.SIGTERM, _raise_interrupt)
    try:
        yield app
    except BaseException:
        app.close(at_once=True)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    app.close()


def _raise_interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM like Ctrl+C."""
    raise KeyboardInterrupt


def home_of(options: argparse.Namespace) -> Home:
    """Return the home of `--home`, or the default one. Raises BadInput for a text that is no path."""
    if options.home is None:
        return Home.default()
    if not options.home.strip():
        raise BadInput("--home has no name.", "Write --home FOLDER.")
    return Home(parse_path(options.home).absolute())
