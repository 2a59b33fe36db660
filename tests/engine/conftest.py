"""An engine whose worker does what each recipe tells it to, and ears to hear what the engine says."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

import pytest

from studio.core.job import Job, JobState
from studio.core.paths import Home
from studio.core.recipe import PluginRef, Recipe
from studio.core.settings import Settings
from studio.engine.interface import EngineEvent, JobChanged, WorkerChanged, WorkerState
from studio.engine.local_engine import LocalEngine
from studio.library.library import Library

E = TypeVar("E")
FAKE_WORKER = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
PATIENCE = 30.0
"""Seconds after which a test gives up on an event that should have come at once."""
ENDURANCE = 240.0
"""Seconds after which it gives up, whatever else is heard meanwhile."""


class Ears:
    """Hears every event, in order."""

    def __init__(self) -> None:
        self.heard: list[EngineEvent] = []
        self._coming: SimpleQueue[EngineEvent] = SimpleQueue()

    def __call__(self, event: EngineEvent) -> None:
        self._coming.put(event)

    def until(self, kind: type[E], fits: Callable[[E], bool] = lambda _: True) -> E:
        """The next event of a kind that fits."""
        end = time.monotonic() + ENDURANCE
        while time.monotonic() < end:
            try:
                event = self._coming.get(timeout=PATIENCE)
            except Empty:
                break
            self.heard.append(event)
            if isinstance(event, kind) and fits(event):
                return event
        raise AssertionError(f"no such {kind.__name__} came after {self.heard[-5:]}")

    def until_state(self, job: Job, state: JobState) -> Job:
        return self.until(JobChanged, lambda event: event.job.id == job.id and event.job.state is state).job

    def until_ready(self) -> WorkerChanged:
        return self.until(WorkerChanged, lambda event: event.state is WorkerState.READY)


def recipe(*do: str, tool: str = "fake.paint", seed: int = 0, **more: object) -> Recipe:
    return Recipe(tool=tool, plugin=PluginRef("fake"), params={"do": list(do)}, seed=seed, **more)


@pytest.fixture
def library(home: Home) -> Iterator[Library]:
    library = Library(home)
    library.open()
    yield library
    library.close()


@pytest.fixture
def make_engine(home: Home, library: Library) -> Iterator[Callable[..., tuple[LocalEngine, Ears]]]:
    """Engines on one home, one after the other; what is still open at the end is closed."""
    engines: list[LocalEngine] = []

    def make(*options: str, durable: bool = True, **settings: object) -> tuple[LocalEngine, Ears]:
        for engine in engines:
            engine.close()
        engines.clear()
        chosen = Settings(**{"cancel_grace": 0.3, **settings})
        engine = LocalEngine(home, library, chosen, durable=durable, worker=(*FAKE_WORKER, *options))
        engines.append(engine)
        ears = Ears()
        engine.subscribe(ears)
        return engine, ears

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def started(make_engine: Callable[..., tuple[LocalEngine, Ears]]) -> tuple[LocalEngine, Ears]:
    """An engine whose interactive worker is ready."""
    engine, ears = make_engine()
    engine.start()
    ears.until_ready()
    return engine, ears
