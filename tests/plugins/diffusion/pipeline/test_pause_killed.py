"""A picture in the making outlives the worker, and the studio, with the same pixels."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from studio.core.job import Job, JobState
from studio.core.messages import JobProgress
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine.interface import JobChanged
from studio.engine.local_engine import LocalEngine
from studio.engine.recipe_builder import build_recipe
from studio.library.library import Library
from tests.fixtures.events import EventRecorder

STEPS = 80
"""Enough that a picture is still in the making when a word about a step has come and gone."""


@pytest.fixture
def library(home: Home) -> Iterator[Library]:
    library = Library(home)
    library.open()
    yield library
    library.close()


class Studio:
    """One studio after another on the same home, with the worker that artists run."""

    def __init__(self, home: Home, library: Library, model: Path) -> None:
        self._home, self._library, self._model = home, library, model
        self.engine: LocalEngine | None = None
        self.recorder = EventRecorder()

    def start(self) -> LocalEngine:
        self.close()
        self.recorder = EventRecorder()
        self.engine = LocalEngine(self._home, self._library, Settings(device="cpu"))
        self.engine.subscribe(self.recorder)
        self.engine.start()
        self.recorder.wait_until_ready()
        return self.engine

    def close(self) -> None:
        if self.engine:
            self.engine.close()
        self.engine = None

    def paint(self) -> Job:
        assert self.engine
        values = {"prompt": "a fox", "model": str(self._model), "steps": STEPS, "sampler": "euler_a"}
        (job,) = self.engine.submit(
            build_recipe(self.engine.catalogue.tools["diffusion.paint"], values, 3, self._library)
        )
        return job

    def in_the_middle(self, job: Job) -> None:
        """Until some steps of the picture are done."""
        self.recorder.wait_for(
            JobProgress, lambda event: event.job == job.id and 0.05 < event.step / (event.total or 1) < 1
        )

    def until_ended(self, job: Job) -> JobState:
        """Done, or put by."""
        over = (JobState.DONE, JobState.PAUSED, JobState.FAILED, JobState.SET_ASIDE)
        return self.recorder.wait_for(
            JobChanged, lambda event: event.job.id == job.id and event.job.state in over
        ).job.state

    def pixels(self, job: Job) -> np.ndarray:
        """Of the job's picture, once it is done."""
        (output,) = self.recorder.wait_for_state(job, JobState.DONE).outputs
        creation = self._library.get(output)
        with Image.open(creation.path) as picture:
            return np.asarray(picture.convert("RGB"))


@pytest.fixture
def studio(home: Home, library: Library, sd: Path) -> Iterator[Studio]:
    studio = Studio(home, library, sd)
    yield studio
    studio.close()


@pytest.fixture
def killed() -> Callable[[], None]:
    def kill() -> None:
        (worker,) = psutil.Process().children()
        worker.send_signal(signal.SIGKILL)

    return kill


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is of POSIX")
def test_neither_a_pause_over_a_restart_nor_a_kill_changes_a_pixel(studio: Studio, killed: Callable[[], None]) -> None:
    engine = studio.start()
    whole = studio.pixels(studio.paint())

    paused = studio.paint()
    studio.in_the_middle(paused)
    engine.pause(paused.id)
    assert studio.until_ended(paused) is JobState.PAUSED

    stricken = studio.paint()
    studio.in_the_middle(stricken)
    killed()
    assert studio.until_ended(stricken) is JobState.FAILED

    engine = studio.start()
    for job in (stricken, paused):
        engine.resume(job.id)
        assert (studio.pixels(job) == whole).all()
