"""A home of an earlier version opens with all its contents.

`fixtures/home_0_1.zip` was written by commit 9989754: images in every state, a video, a text with its page, a
paused and a waiting job, a draft, a plugin in one file. It is never regenerated.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core import settings as settings_file
from studio.core.job import JobState
from studio.core.messages import EstimateResult
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine import catalogue_cache
from studio.engine.local_engine import LocalEngine
from studio.engine.throughput import Rates
from studio.library.library import Library
from studio.library.pages.store import PageStore
from studio.state.form import draft_store
from tests.fixtures.events import EventRecorder

ARCHIVE = Path(__file__).parent / "fixtures" / "home_0_1.zip"
APPLE, STYLED, MORPH, STRIPES = "0ec5de3b68", "7e68295094", "251b0eda8c", "7e8e7fcbb0"
PAUSED, WAITING = "01a23059b71d13571c25", "01a23059be127a213557"


@pytest.fixture
def old_home(home: Home) -> Home:
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(home.root)
    return home


@pytest.fixture
def library(old_home: Home) -> Iterator[Library]:
    library = Library(old_home)
    library.open()
    yield library
    library.close()


@contextmanager
def _start_engine(home: Home, library: Library) -> Iterator[tuple[LocalEngine, EventRecorder]]:
    engine, recorder = LocalEngine(home, library, Settings(device="cpu")), EventRecorder()
    engine.subscribe(recorder)
    engine.start()
    try:
        recorder.wait_until_ready()
        yield engine, recorder
    finally:
        engine.close()


@pytest.mark.parametrize("rebuilt", [False, True], ids=["old index", "new index"])
def test_creations_keep_their_marks_and_recipes(old_home: Home, rebuilt: bool) -> None:
    if rebuilt:
        old_home.index.unlink()
    library = Library(old_home)
    library.open()
    library.sweep()
    apple, styled, morph = (library.get(id) for id in (APPLE, STYLED, MORPH))
    assert apple
    assert styled
    assert morph
    assert apple.recipe
    assert (apple.recipe.tool, apple.recipe.seed) == ("diffusion.paint", 7)
    assert apple.recipe.params["prompt"] == "a red apple, 3d"
    assert (apple.star, apple.tags) == (True, ("fruit",))
    assert styled.recipe
    assert styled.recipe.params["style"] == "style-ink"
    assert styled.rating == 4
    assert [parent.tool for parent in library.find_parents(morph.id)] == ["import", "import"]
    assert library.load_thumbnail(morph.id)
    assert library.find_ids("is:starred") == [apple.id]
    trashed = library.get(STRIPES)
    assert trashed
    assert trashed.trashed
    library.close()


def test_a_creation_is_made_again_from_its_recipe(old_home: Home, library: Library) -> None:
    trashed = library.get(STRIPES)
    assert trashed
    library.restore([trashed.id])
    before = library.get(STRIPES)
    assert before
    assert before.recipe
    with _start_engine(old_home, library) as (engine, recorder):
        engine.set_queue_paused(False)
        (job,) = engine.submit(before.recipe)
        (output,) = recorder.wait_for_state(job, JobState.DONE).outputs
    after = library.get(output)
    assert after
    with Image.open(before.path) as old, Image.open(after.path) as new:
        assert np.array_equal(np.asarray(old), np.asarray(new))


def test_waiting_and_paused_jobs_of_the_queue_continue(old_home: Home, library: Library) -> None:
    with _start_engine(old_home, library) as (engine, recorder):
        jobs = {job.id: job for job in engine.jobs()}
        assert engine.queue_paused
        assert jobs[PAUSED].state is JobState.PAUSED
        assert jobs[WAITING].state is JobState.QUEUED
        assert sum(job.state is JobState.DONE for job in jobs.values()) == 5
        engine.resume(PAUSED)
        engine.set_queue_paused(False)
        for id in (PAUSED, WAITING):
            (output,) = recorder.wait_for_state(jobs[id], JobState.DONE).outputs
            assert library.get(output)


def test_pages_keep_their_text(old_home: Home) -> None:
    store = PageStore(old_home.pages)
    openings = {info.id: info.opening for info in store.list_pages()}
    assert openings == {"01a2305a353394ca04": "Snown the garden.", "01a230592d79b0a6c1": "# The fox"}
    tale = store.get("01a230592d79b0a6c1").load()
    assert tale.text.startswith("# The fox\n\nOnce upon")
    assert tale.text.endswith("'it is not")


def test_the_form_the_settings_and_the_rates_are_read(old_home: Home) -> None:
    draft = draft_store.load(old_home.root / "workspace.json")
    assert (draft.tool, draft.values["diffusion.paint"]) == ("diffusion.paint", {"prompt": "a blue whale, flat"})
    assert settings_file.load(old_home.settings) == Settings(device="cpu")
    result = EstimateResult(id="1", work=2.0, rate="vae.morph vae-spatial auto", device="cpu 2 cores float32")
    assert Rates(old_home.rates).add_seconds(result).seconds == pytest.approx(2 * 7.797, rel=0.001)


def test_the_cached_catalogue_is_used_until_the_worker_is_ready(old_home: Home) -> None:
    tools = catalogue_cache.load(old_home.descriptors).tools
    assert {"diffusion.paint", "style.transfer", "vae.morph", "writer.continue", "stripes.make"} <= set(tools)
