"""Generate, and settings from earlier creations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from PySide6.QtCore import QObject, Signal

from studio.core import params_schema
from studio.core.errors import StudioError
from studio.core.private_paths import FOLDER_REFERENCE, name_of_path
from studio.library.creation import Creation, CreationKind
from studio.state.form.job_request import JobRequest
from studio.state.form.workspace import Workspace
from studio.state.jobs.licence_consent import LicenceConsent, LicenceRequired
from studio.state.jobs.live_drafts import LiveDrafts
from studio.state.jobs.submission import JobSubmitter, Submission
from studio.state.notices import Notices
from studio.state.tasks import Tasks
from studio.state.undoable_actions import UndoableActions

if TYPE_CHECKING:
    from studio.core.descriptor import ToolDescriptor
    from studio.engine.recipe_consent import OutsideUse
    from studio.library.library import Library
    from studio.library.models.licences import LicenceTerms


class PathConsent(NamedTuple):
    """Settings that name `uses` outside of the studio's folders."""

    uses: list[OutsideUse]
    put: Callable[..., None]
    """Puts all of the settings into the form, or those without the fields of `left_out`."""

    @property
    def sentence(self) -> str:
        from studio.engine.recipe_consent import describe_uses

        return describe_uses(self.uses)

    def accept(self) -> None:
        self.put()

    def decline(self) -> None:
        self.put(left_out={use.field for use in self.uses})


class Generation(QObject):
    """Makes jobs from requests: those of the form, and those of drops."""

    about_to_generate = Signal()
    """Generate is about to read the form: unfinished edits, such as a mask, are put into it now."""
    submitting = Signal()
    """The request is valid and on its way to the queue."""
    submitted = Signal(object)
    """The list of jobs that are in the queue."""
    refused = Signal(str)
    """A sentence that says why no job was made."""
    fields_refused = Signal(dict)
    """A sentence for each field with a wrong value."""
    licence_required = Signal(object)
    """The `LicenceTerms` of a model that the artist must accept first."""
    path_consent_required = Signal(object)
    """A `PathConsent`: settings that name folders or models of whoever wrote them."""
    input_imported = Signal(object)
    """A creation that a job uses; its file may be new in the library."""

    def __init__(
        self,
        workspace: Workspace,
        library: Library,
        submitter: JobSubmitter,
        drafts: LiveDrafts,
        consent: LicenceConsent,
        undoable: UndoableActions,
        notices: Notices,
        tasks: Tasks,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace, self._library = workspace, library
        self._submitter, self._drafts, self._consent = submitter, drafts, consent
        self._undoable, self._notices, self._tasks = undoable, notices, tasks
        self.prepare_request: Callable[[JobRequest], JobRequest] = lambda request: request
        """Adds values that are not in the form, such as the words of the page."""

    def generate(self, *, new_seed: bool = False) -> bool:
        """Queue the tool of the form with its values. Returns False if a value is wrong.

        With `new_seed` a fixed seed stays in the form, and this time another one is used.
        """
        self.about_to_generate.emit()
        request = self._workspace.build_request()
        return request is not None and self.submit(self.prepare_request(request), new_seed=new_seed)

    def submit(self, request: JobRequest, *, new_seed: bool = False) -> bool:
        """Queue a request with the seed of the draft that was shown, or the next one.

        Returns False if a value is wrong.
        """
        if errors := params_schema.find_errors(request.tool, request.values):
            self.fields_refused.emit(errors)
            return False
        self._drafts.stop()
        seed = None if new_seed else self._drafts.take_seed(request.tool.id)
        if seed is None:
            seed = self._workspace.next_seed(new=new_seed)
        self.submitting.emit()
        self._submitter.submit(replace(request, seed=seed), self._on_submitted, self._on_refused)
        return True

    def accept(self, terms: LicenceTerms) -> None:
        """Accept a model's licence and generate."""
        self._consent.accept([terms])
        self.generate()

    def _on_submitted(self, submission: Submission) -> None:
        if submission.unlicensed:
            self._consent.accept(submission.unlicensed)
            self._notices.info(" ".join(terms.sentence for terms in submission.unlicensed))
        for creation in submission.inputs:
            if creation.kind is not CreationKind.FILE:
                self.input_imported.emit(creation)
        self.submitted.emit(submission.jobs)

    def _on_refused(self, error: StudioError) -> None:
        if isinstance(error, LicenceRequired):
            self.licence_required.emit(error.terms)
        else:
            self.refused.emit(str(error))

    # Settings of earlier creations
    def use_settings(self, creation: Creation, changes: Mapping[str, Any] | None = None, *, ask: bool = True) -> None:
        """Put a creation's tool, values and seed into the form.

        `changes` replaces some of the values; None as one of these lets the value follow its default. Unless `ask` is
        False, `path_consent_required` asks for what the recipe names outside of the studio's folders.
        """
        recipe = creation.recipe
        tool = self._workspace.catalogue.tools.get(recipe.tool) if recipe else None
        if recipe is None or tool is None:
            name = recipe.tool if recipe else creation.tool
            self._notices.info(f"The tool {name} is not installed, so its settings cannot be used.")
            return

        def restore() -> tuple[dict[str, Any], list[OutsideUse]]:
            from studio.engine.recipe_builder import restore_values
            from studio.engine.recipe_consent import find_outside_uses

            values = restore_values(tool, recipe, self._library)
            return values, find_outside_uses(tool, values, self._library.home)

        def show(restored: tuple[dict[str, Any], list[OutsideUse]]) -> None:
            values, uses = restored
            put = partial(self._put_values, tool, recipe.seed, values, changes or {})
            if uses and ask:
                self.path_consent_required.emit(PathConsent(uses, put))
            else:
                put()

        self._tasks.run(restore, show)

    def _put_values(
        self,
        tool: ToolDescriptor,
        seed: int,
        values: dict[str, Any],
        changes: Mapping[str, Any],
        left_out: Collection[str] = (),
    ) -> None:
        """Put values into the form, without those fields that are left out, and folders that are not known here."""
        unknown = [name for name, value in values.items() if str(value).startswith(FOLDER_REFERENCE)]
        if unknown:
            self._notices.info(
                f"The folder {name_of_path(str(values[unknown[0]]))} is not known here. Choose it again."
            )
        kept = {name: value for name, value in values.items() if name not in {*left_out, *unknown, *changes}}
        kept |= {name: value for name, value in changes.items() if value is not None}
        self._undoable.put_values(tool.id, kept, "using settings", seed)
