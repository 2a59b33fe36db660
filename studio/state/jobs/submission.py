"""Submits jobs to the engine: builds the recipe, checks licences and queues it, off the window's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from studio.core.descriptor import ToolDescriptor
from studio.core.errors import StudioError
from studio.core.job import Job
from studio.core.recipe import Recipe
from studio.engine.interface import Engine
from studio.library.creation import Creation
from studio.state.form.job_request import JobRequest
from studio.state.jobs.licence_consent import LicenceConsent, LicenceRequired
from studio.state.notices import Notices
from studio.state.tasks import Tasks

if TYPE_CHECKING:
    from studio.library.library import Library
    from studio.library.models.licences import LicenceTerms


class Submission(NamedTuple):
    """Jobs that are in the queue, the creations that they use, and models that name no licence."""

    jobs: list[Job]
    inputs: list[Creation]
    unlicensed: Sequence[LicenceTerms]


class JobSubmitter:
    def __init__(
        self, engine: Engine, library: Library, consent: LicenceConsent, notices: Notices, tasks: Tasks
    ) -> None:
        self._engine, self._library, self._consent = engine, library, consent
        self._notices, self._tasks = notices, tasks

    def submit(
        self, request: JobRequest, then: Callable[[Submission], None], failed: Callable[[StudioError], None]
    ) -> None:
        """Queue the jobs of a request. `failed` gets LicenceRequired for a model whose licence was not accepted."""

        def submit() -> Submission:
            recipe, unlicensed = self._prepare(request)
            jobs = self._engine.submit(recipe, count=request.count, format=request.format)
            return Submission(jobs, self._library.get_many(recipe.parents), unlicensed)

        self._tasks.run(submit, then, failed)

    def prepare(
        self, request: JobRequest, then: Callable[[Recipe], None], failed: Callable[[StudioError], None]
    ) -> None:
        """Build the recipe of a job that is not of the form. `failed` gets an error with what to do."""

        def refuse(error: StudioError) -> None:
            failed(StudioError(_explain(error, request.tool)))

        self._tasks.run(lambda: self._prepare(request)[0], then, refuse)

    def submit_single(
        self, request: JobRequest, then: Callable[[Job], None], on_refused: Callable[[], object] = lambda: None
    ) -> None:
        """Queue one job that is not of the form. A failure becomes a notice, before `on_refused` is called."""

        def show_failure(error: StudioError) -> None:
            self._notices.error(_explain(error, request.tool))
            on_refused()

        self.submit(request, lambda submission: then(submission.jobs[0]), show_failure)

    def draft(self, request: JobRequest, then: Callable[[str], None]) -> None:
        """Run a request for its previews alone. `then` gets the id of the draft, or an empty text if it was refused."""
        self._tasks.run(lambda: self._engine.draft(self._build_recipe(request)), then, lambda _: then(""))

    def cancel(self, job: str) -> None:
        self._engine.cancel(job)

    def _prepare(self, request: JobRequest) -> tuple[Recipe, Sequence[LicenceTerms]]:
        """Return the recipe, and the models without a licence. Raises LicenceRequired."""
        recipe = self._build_recipe(request)
        return recipe, self._consent.check(request.tool, recipe)

    def _build_recipe(self, request: JobRequest) -> Recipe:
        from studio.engine.recipe_builder import build_recipe  # takes long to import

        return build_recipe(request.tool, request.values, request.seed, self._library)


def _explain(error: StudioError, tool: ToolDescriptor) -> str:
    """Return the sentence of an error, and for a licence how to read it."""
    hint = f" Choose {tool.title} and press Generate once to read it." if isinstance(error, LicenceRequired) else ""
    return f"{error}{hint}"
