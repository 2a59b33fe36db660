"""The trainings of a home that have not ended, in the window's queue and on the command line.

Any process may look at them and change them, since they lie on the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import msgspec

from studio.core.errors import StudioError
from studio.core.job import Job, JobState
from studio.core.paths import Home
from studio.core.recipe import Recipe
from studio.core.training_record import FOLDER, TrainingRecord
from studio.engine import resumable
from studio.engine.home_lock import HomeLock

INTERRUPTED = "interrupted"
"""State of a training whose process has ended; it goes on when it is started again."""


@dataclass(frozen=True)
class Training:
    """A training that has begun. `state` is that of its job, or `INTERRUPTED`."""

    id: str
    recipe: Recipe
    state: str
    record: TrainingRecord

    @property
    def title(self) -> str:
        """The name that the model will have."""
        return str(self.recipe.params.get("title") or self.recipe.tool)


def list_trainings(home: Home) -> list[Training]:
    """Return the trainings that have a record, the latest first. Raises StudioError for a damaged queue."""
    found = [training for training in (*_in_queue(home), *_on_command_line(home)) if training.record.exists()]
    return sorted(found, key=lambda training: training.recipe.created, reverse=True)


def _in_queue(home: Home) -> Iterator[Training]:
    for job in _read_jobs(home):
        if not job.state.ended or job.state in (JobState.FAILED, JobState.CANCELLED, JobState.SET_ASIDE):
            state = job.state.value
            if job.state is JobState.RUNNING and not _is_open(home):
                state = INTERRUPTED
            yield Training(job.id, job.recipe, state, TrainingRecord(home.jobs / job.id / FOLDER))


def _read_jobs(home: Home) -> list[Job]:
    """Read the window's queue without changing it."""
    if not home.queue.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{home.queue.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as base:
            rows = base.execute("SELECT job FROM jobs ORDER BY id").fetchall()
        return [msgspec.json.decode(body, type=Job) for (body,) in rows]
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise StudioError(f"The list of jobs cannot be read: {error}.", "Check it with `studio doctor`.") from error


def _is_open(home: Home) -> bool:
    try:
        HomeLock(home.root / "studio.lock").release()
    except StudioError:
        return True
    return False


def _on_command_line(home: Home) -> Iterator[Training]:
    for folder, stored in resumable.list_runs(home):
        state = JobState.RUNNING.value if resumable.is_running(folder) else INTERRUPTED
        parts = sorted(path.parent for path in folder.glob(f"*/{FOLDER}"))
        for part in parts:
            id = folder.name if len(parts) == 1 else f"{folder.name}-{part.name}"
            yield Training(id, stored.recipe, state, TrainingRecord(part / FOLDER))
