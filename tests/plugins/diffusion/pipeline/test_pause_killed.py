"""An unfinished image is resumed with the same pixels after the worker or the studio was killed."""

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
"""Enough that an image is still unfinished when a message about a step has arrived."""


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

    def submit(self) -> Job:
        assert self.engine
        values = {"prompt": "a fox", "model": str(self._model), "steps": STEPS, "sampler": "euler_a"}
        (job,) = self.engine.submit(
            build_recipe(self.engine.catalogue.tools["diffusion.paint"], values, 3, self._library)
        )
        return job

    def wait_for_steps(self, job: Job) -> None:
        """Wait until some steps of the image are done."""
        self.recorder.wait_for(
            JobProgress, lambda event: event.job == job.id and 0.05 < event.step / (event.total or 1) < 1
        )

    def wait_for_end(self, job: Job) -> JobState:
        """Wait until the job is done, paused or failed."""
        over = (JobState.DONE, JobState.PAUSED, JobState.FAILED, JobState.SET_ASIDE)
        return self.recorder.wait_for(
            JobChanged, lambda event: event.job.id == job.id and event.job.state in over
        ).job.state

    def read_pixels(self, job: Job) -> np.ndarray:
        """Return the pixels of the job's image, once it is done."""
        (output,) = self.recorder.wait_for_state(job, JobState.DONE).outputs
        creation = self._library.get(output)
        assert creation is not None
        with Image.open(creation.path) as picture:
            return np.asarray(picture.convert("RGB"))


@pytest.fixture
def studio(home: Home, library: Library, sd: Path) -> Iterator[Studio]:
    studio = Studio(home, library, sd)
    yield studio
    studio.close()


@pytest.fixture
def kill_worker() -> Callable[[], None]:
    def kill() -> None:
        (worker,) = psutil.Process().children()
        worker.send_signal(signal.SIGKILL)

    return kill


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is of POSIX")
def test_pause_restart_and_kill_change_no_pixel(studio: Studio, kill_worker: Callable[[], None]) -> None:
    engine = studio.start()
    whole = studio.read_pixels(studio.submit())

    paused = studio.submit()
    studio.wait_for_steps(paused)
    engine.pause(paused.id)
    assert studio.wait_for_end(paused) is JobState.PAUSED

    killed_job = studio.submit()
    studio.wait_for_steps(killed_job)
    kill_worker()
    assert studio.wait_for_end(killed_job) is JobState.FAILED

    engine = studio.start()
    for job in (killed_job, paused):
        engine.resume(job.id)
        assert (studio.read_pixels(job) == whole).all()
