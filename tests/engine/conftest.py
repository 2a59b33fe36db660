"""An engine whose worker performs the steps that the recipes of a test list."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

import pytest
from msgspec.structs import replace

from studio.core.paths import Home
from studio.core.recipe import PluginRef, Recipe
from studio.core.settings import Settings
from studio.engine.local_engine import LocalEngine
from studio.library.library import Library
from tests.fixtures.events import EventRecorder

FAKE_WORKER = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))

RecordedEngine: TypeAlias = tuple[LocalEngine, EventRecorder]


class EngineFactory(Protocol):
    def __call__(self, *options: str, **limits: float) -> RecordedEngine:
        """Close the engine before and make another. `options` are added to the worker's command line;
        `limits` are fields of `Settings`, in seconds."""


def make_recipe(
    *steps: str, tool: str = "fake.paint", seed: int = 0, inputs: Mapping[str, str] | None = None
) -> Recipe:
    """Return a recipe whose run is a list of the fake worker's steps."""
    params = {"steps": list(steps)}
    return Recipe(tool=tool, plugin=PluginRef("fake"), params=params, seed=seed, inputs=dict(inputs or {}))


@pytest.fixture
def library(home: Home) -> Iterator[Library]:
    library = Library(home)
    library.open()
    yield library
    library.close()


@pytest.fixture
def make_engine(home: Home, library: Library) -> Iterator[EngineFactory]:
    """Make engines on one home, one after the other. The last one is closed after the test."""
    engines: list[LocalEngine] = []

    def make(*options: str, **limits: float) -> RecordedEngine:
        for engine in engines:
            engine.close()
        engines.clear()
        settings = replace(Settings(cancel_grace=0.3), **limits)
        engine = LocalEngine(home, library, settings, worker=(*FAKE_WORKER, *options))
        engines.append(engine)
        recorder = EventRecorder()
        engine.subscribe(recorder)
        return engine, recorder

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def ready_engine(make_engine: EngineFactory) -> RecordedEngine:
    """An engine whose interactive worker is ready."""
    engine, recorder = make_engine()
    engine.start()
    recorder.wait_until_ready()
    return engine, recorder
