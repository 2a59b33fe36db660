"""A job: a recipe that is queued, running or has ended."""

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
    """It crashed the worker twice, and does not run again unless the artist retries it."""

    @property
    def ended(self) -> bool:
        """True if the job will not run any more by itself."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.SET_ASIDE)


class Lane(Enum):
    """A queue with a worker process of its own, so that training never blocks an image."""

    INTERACTIVE = "interactive"
    TRAINING = "training"


class Job(Struct, frozen=True, kw_only=True):
    """A recipe in the queue.

    `crashes` counts workers that ended while running the job, and `interruptions` counts ends of the studio while it
    ran. `outputs` are creation ids.
    """

    id: str
    recipe: Recipe
    lane: Lane = Lane.INTERACTIVE
    state: JobState = JobState.QUEUED
    format: str = ""
    """File extension of the results, such as ``mp4``; empty for the default."""
    position: float = 0.0
    crashes: int = 0
    interruptions: int = 0
    failure: Failure | None = None
    outputs: tuple[str, ...] = ()
    created: str = ""


def create_job_id() -> str:
    """Create an id that sorts by time: 12 hex digits of milliseconds, 8 random ones."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(4).hex()}"
