"""A job: a recipe on its way."""

from __future__ import annotations

import os
import time
from enum import Enum

from msgspec import Struct

from studio.core.errors import Failure
from studio.core.recipe import Recipe


class JobState(Enum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SET_ASIDE = "set aside"
    """It took two workers down, and is not run a third time unless asked."""

    @property
    def ended(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.SET_ASIDE)


class Lane(Enum):
    """Each lane has a worker process of its own, so that training never blocks a picture."""

    INTERACTIVE = "interactive"
    TRAINING = "training"


class Job(Struct, frozen=True, kw_only=True):
    """`crashes` counts the workers that ended while running it, `interruptions` the studios
    that were killed meanwhile. `outputs` are creation ids."""

    id: str
    recipe: Recipe
    lane: Lane = Lane.INTERACTIVE
    state: JobState = JobState.QUEUED
    format: str = ""
    """File extension wanted for the results, such as ``mp4``; empty for the default."""
    position: float = 0.0
    crashes: int = 0
    interruptions: int = 0
    failure: Failure | None = None
    outputs: tuple[str, ...] = ()
    created: str = ""


def new_job_id() -> str:
    """Sorts by time: 12 hex digits of milliseconds, 8 of chance."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(4).hex()}"
