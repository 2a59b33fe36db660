"""An engine whose worker does what the recipes of a test tell it to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studio.core.paths import Home
from studio.core.recipe import PluginRef, Recipe
from studio.core.settings import Settings
from studio.engine.local_engine import LocalEngine
from studio.library.library import Library
from tests.fixtures.events import EventRecorder

FAKE_WORKER = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


def recipe(*do: str, tool: str = "fake.paint", seed: int = 0, **more: object) -> Recipe:
    return Recipe(tool=tool, plugin=PluginRef("fake"), params={"do": list(do)}, seed=seed, **more)


@pytest.fixture
def library(home: Home) -> Iterator[Library]:
    library = Library(home)
    library.open()
    yield library
    library.close()


@pytest.fixture
def make_engine(home: Home, library: Library) -> Iterator[Callable[..., tuple[LocalEngine, EventRecorder]]]:
    """Engines on one home, one after the other; what is still open at the end is closed."""
    engines: list[LocalEngine] = []

    def make(*options: str, durable: bool = True, **settings: object) -> tuple[LocalEngine, EventRecorder]:
        for engine in engines:
            engine.close()
        engines.clear()
        chosen = Settings(**{"cancel_grace": 0.3, **settings})
        engine = LocalEngine(home, library, chosen, durable=durable, worker=(*FAKE_WORKER, *options))
        engines.append(engine)
        recorder = EventRecorder()
        engine.subscribe(recorder)
        return engine, recorder

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def started(make_engine: Callable[..., tuple[LocalEngine, EventRecorder]]) -> tuple[LocalEngine, EventRecorder]:
    """An engine whose interactive worker is ready."""
    engine, recorder = make_engine()
    engine.start()
    recorder.wait_until_ready()
    return engine, recorder
