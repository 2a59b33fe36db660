"""Pausing and resuming: of a job, and of the whole queue."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from studio.core.job import Job, JobState, Lane
from studio.engine.interface import Engine
from studio.state.form.workspace import Workspace
from studio.state.jobs.variations import Variations

LONG_TRAINING = 60.0
"""Seconds of training that are not thrown away without a question."""


class JobControls:
    def __init__(
        self, engine: Engine, workspace: Workspace, variations: Variations, is_of_page: Callable[[str], bool]
    ) -> None:
        self._engine, self._workspace, self._variations = engine, workspace, variations
        self._is_of_page = is_of_page

    def can_pause(self, job: Job) -> bool:
        """Check whether the job's tool saves its state when it is paused."""
        tool = self._workspace.catalogue.tools.get(job.recipe.tool)
        return tool is not None and tool.pausable

    def pause(self, job: Job) -> None:
        self._engine.pause(job.id)

    def resume(self, job: Job) -> None:
        """Resume a paused job, or run one again that failed or was cancelled, and show its results."""
        if job.id not in self._variations.jobs and not self._is_of_page(job.id):
            self._variations.begin([job])
        self._variations.is_followed = True
        self._engine.resume(job.id)

    def finish(self, job: Job) -> None:
        """Ask a running training to end now and keep its model. Raises CannotWrite."""
        record = self._engine.training_record(job.id)
        record.write_changes(replace(record.read_changes(), finish=True))

    def is_long_training(self, job: Job) -> bool:
        """Check for a training whose loss would cost more than a minute."""
        if job.lane is not Lane.TRAINING or job.state not in (JobState.RUNNING, JobState.PAUSED):
            return False
        points = self._engine.training_record(job.id).read_measures()
        return bool(points) and points[-1].seconds > LONG_TRAINING

    @property
    def queue_paused(self) -> bool:
        return self._engine.queue_paused

    def set_queue_paused(self, on: bool) -> None:
        """Pause or resume the queue: running jobs continue, no other starts."""
        self._engine.set_queue_paused(on)
