"""The engine with the worker that artists run, and a plugin in one file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from studio.core.job import JobState
from studio.core.messages import JobProgress
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine.interface import Created
from studio.engine.local_engine import LocalEngine
from studio.engine.recipe_builder import build_recipe
from studio.library.library import Library
from tests.fixtures.events import EventRecorder

PLUGIN = '''
from studio import api

class Dots(api.Tool):
    """Dots of one colour."""

    id = "dots.paint"
    title = "Dots"

    class Params(api.Params):
        size: int = 8
        endless: bool = False

    def run(self, params, ctx):
        import numpy as np
        yield api.Progress(1, 2, "painting")
        while params.endless:
            yield api.Progress(1, 0)
        yield api.Image(np.full((params.size, params.size, 3), ctx.seed % 256, np.uint8))


@api.hookimpl
def studio_tools():
    return [Dots]
'''


@pytest.fixture
def engine(home: Home, library: Library) -> Iterator[LocalEngine]:
    (home.plugins / "dots.py").write_text(PLUGIN)
    engine = LocalEngine(home, library, Settings(device="cpu"))
    yield engine
    engine.close()


def test_form_values_become_a_creation_with_its_recipe(engine: LocalEngine, library: Library) -> None:
    recorder = EventRecorder()
    engine.subscribe(recorder)
    engine.start()
    recorder.wait_until_ready()
    (job,) = engine.submit(build_recipe(engine.catalogue.tools["dots.paint"], {"size": 6}, 9, library))
    assert recorder.wait_for(JobProgress).text == "painting"
    creation = recorder.wait_for(Created).creation
    assert recorder.wait_for_state(job, JobState.DONE).outputs == (creation.id,)
    assert creation.recipe is not None
    assert (creation.width, creation.height, creation.recipe.seed) == (6, 6, 9)
    assert creation.recipe.params == {"size": 6, "endless": False}
    assert library.load_thumbnail(creation.id)

    (endless,) = engine.submit(build_recipe(engine.catalogue.tools["dots.paint"], {"endless": True}, 0, library))
    recorder.wait_for(JobProgress, lambda event: event.job == endless.id)
    engine.cancel(endless.id)
    recorder.wait_for_state(endless, JobState.CANCELLED)
