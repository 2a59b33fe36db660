"""Asks the engine for a job beside Generate: another tool than that in the form, or other values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from studio.core.descriptor import ToolDescriptor
from studio.core.errors import StudioError
from studio.core.job import Job
from studio.engine.interface import Engine
from studio.state.jobs.licence_consent import LicenceConsent, LicenceRequired
from studio.state.notices import Notices
from studio.state.tasks import Tasks

if TYPE_CHECKING:
    from studio.library.library import Library


class JobSubmitter:
    def __init__(
        self, engine: Engine, library: Library, consent: LicenceConsent, notices: Notices, tasks: Tasks
    ) -> None:
        self._engine, self._library, self._consent = engine, library, consent
        self._notices, self._tasks = notices, tasks

    def submit(
        self,
        tool: ToolDescriptor,
        values: Mapping[str, Any],
        seed: int,
        then: Callable[[Job], None],
        refused: Callable[[], object],
    ) -> None:
        """Queues one job. Why it cannot be is said, before `refused` is called."""

        def submit() -> Job:
            from studio.engine.recipe_builder import build_recipe

            recipe = build_recipe(tool, values, seed, self._library)
            self._consent.check(tool, recipe)
            return self._engine.submit(recipe)[0]

        def failed(error: StudioError) -> None:
            hint = (
                f" Choose {tool.title} and press Generate once to read it."
                if isinstance(error, LicenceRequired)
                else ""
            )
            self._notices.error(f"{error}{hint}")
            refused()

        self._tasks.run(submit, then, failed)

    def cancel(self, job: str) -> None:
        self._engine.cancel(job)
