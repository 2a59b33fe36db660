"""Generate, live drafts, and taking up what was made before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QImage

from studio.core.descriptor import Widget
from studio.core.errors import StudioError
from studio.core.job import Job
from studio.core.paths import Home
from studio.core.recipe import Recipe
from studio.engine.interface import Engine
from studio.library.creation import Creation, CreationKind
from studio.state.form.workspace import Workspace
from studio.state.jobs.licence_consent import LicenceConsent, LicenceRequired
from studio.state.notices import Notice, Notices
from studio.state.tasks import Tasks
from studio.state.undoable_actions import UndoableActions

if TYPE_CHECKING:
    from studio.library.library import Library
    from studio.library.models.licences import LicenceTerms

DRAFT_MS = 60
"""A live tool is run again this long after a value changed."""


class Generation(QObject):
    beginning = Signal()
    """Generate was asked for; what is not yet in the form may still come."""
    refused = Signal(str)
    """Why Generate could not begin. One sentence."""
    licence_unread = Signal(object)
    """A model's terms (`licences.Terms`) that the artist should see before Generate begins."""
    fields_refused = Signal(dict)
    """A sentence for each field that is wrong."""
    submitting = Signal()
    """All is well so far; the job is on its way to the queue."""
    submitted = Signal(object)
    adopted = Signal(object)
    """A file that became a creation."""
    opened = Signal(object)
    drafting = Signal()

    def __init__(
        self,
        home: Home,
        engine: Engine,
        library: Library,
        workspace: Workspace,
        notices: Notices,
        undoable: UndoableActions,
        tasks: Tasks,
        consent: LicenceConsent,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._home, self._engine, self._library = home, engine, library
        self._workspace, self._notices, self._undoable, self._tasks = workspace, notices, undoable, tasks
        self._consent = consent
        self._live = QTimer(self, interval=DRAFT_MS, singleShot=True)
        self._live.timeout.connect(self._run_draft)
        self._drafting = self._draft_again = False
        workspace.value_changed.connect(self._value_changed)

    def generate(self, *, new_seed: bool = False) -> bool:
        """Queues the current tool with the current values. False when a value is wrong.

        With `new_seed` a seed that is fixed stays in the form, and this time another is taken.
        """
        tool = self._workspace.tool
        if tool is None:
            return False
        self.beginning.emit()
        if errors := self._workspace.errors():
            self.fields_refused.emit(errors)
            return False
        self._live.stop()
        build_recipe = self._freezer(self._workspace.next_seed(new=new_seed))
        count, extension = self._workspace.count, self._workspace.format

        def submit() -> tuple[list[Job], list[Creation], list[LicenceTerms]]:
            recipe = build_recipe()
            silent = self._consent.check(tool, recipe)
            jobs = self._engine.submit(recipe, count=count, format=extension)
            return jobs, self._library.get_many(recipe.parents), silent

        def submitted(result: tuple[list[Job], list[Creation], list[LicenceTerms]]) -> None:
            jobs, inputs, silent = result
            if silent:
                self._consent.accept(silent)
                self._notices.info(" ".join(terms.sentence for terms in silent))
            for creation in (one for one in inputs if one.kind is not CreationKind.FILE):
                self.adopted.emit(creation)
            self.submitted.emit(jobs)

        self.submitting.emit()
        self._tasks.run(submit, submitted, self._refuse)
        return True

    def accept(self, terms: LicenceTerms) -> None:
        """The artist wants to use a model under its terms: Generate goes on."""
        self._consent.accept([terms])
        self.generate()

    def _refuse(self, error: StudioError) -> None:
        if isinstance(error, LicenceRequired):
            self.licence_unread.emit(error.terms)
        else:
            self.refused.emit(str(error))

    def stop(self) -> None:
        self._live.stop()

    def _freezer(self, seed: int) -> Callable[[], Recipe]:
        """What makes the recipe, for the background: it may read and copy the files that are inputs."""
        tool, values = self._workspace.tool, self._workspace.values()
        assert tool is not None

        def build_recipe() -> Recipe:
            from studio.engine.recipe_builder import build_recipe

            return build_recipe(tool, values, seed, self._library)

        return build_recipe

    # Live drafts: one on its way at a time, and after it the newest values
    def _value_changed(self, _name: str) -> None:
        if self._workspace.tool is not None and self._workspace.tool.live:
            self._live.start()

    def _run_draft(self) -> None:
        tool = self._workspace.tool
        if tool is None or not tool.live or self._workspace.errors():
            return
        if self._drafting:
            self._draft_again = True
            return
        self._drafting, self._draft_again = True, False
        build_recipe = self._freezer(self._workspace.seed)
        self.drafting.emit()
        self._tasks.run(
            lambda: self._engine.draft(build_recipe()), lambda _: self._drafted(), lambda _: self._drafted()
        )

    def _drafted(self) -> None:
        """A value that cannot be used yet, such as a picture that is gone, is said by Generate alone."""
        self._drafting = False
        if self._draft_again:
            self._run_draft()

    # What was made before
    def use(self, creation: Creation) -> None:
        """Puts a creation's tool, values and seed into the form."""
        recipe = creation.recipe
        tool = self._workspace.catalogue.tools.get(recipe.tool) if recipe else None
        if recipe is None or tool is None:
            name = recipe.tool if recipe else creation.tool
            self._notices.info(f"The tool {name} is not installed, so its settings cannot be used.")
            return

        def values() -> dict[str, Any]:
            from studio.engine.recipe_builder import restore_values

            return restore_values(recipe, self._library)

        def take(thawed: dict[str, Any]) -> None:
            self._undoable.put_values(tool.id, thawed, "using settings")
            self._workspace.set_seed(recipe.seed, fixed=True)

        self._tasks.run(values, take)

    def use_as_input(self, creation: Creation) -> None:
        """Gives a picture to the current tool."""
        self.give(creation.path)

    def give(self, path: str) -> None:
        """Puts a picture into the current tool's first empty well, or else adds it to a list or its first well."""
        wells = [field for field in self._workspace.fields if field.widget is Widget.IMAGE]
        empty = [field for field in wells if not self._workspace.value(field.name)]
        lists = [field for field in wells if field.many]
        field = next(iter(empty or lists or wells), None)
        if field is None:
            self._notices.info("This tool has no input for a picture. Choose another tool first.")
        elif field.many:
            given = list(self._workspace.value(field.name) or [])
            self._workspace.set_value(field.name, [*given, path])
        else:
            self._workspace.set_value(field.name, path)

    def adopt(self, paths: Sequence[Path]) -> None:
        """Takes files into the library and opens the last of them."""

        def adopt() -> tuple[list[Creation], list[str]]:
            taken, refused = [], []
            for path in paths:
                try:
                    taken.append(self._library.import_file(path))
                except StudioError as error:
                    refused.append(str(error))
            return taken, refused

        def done(result: tuple[list[Creation], list[str]]) -> None:
            taken, refused = result
            for sentence in refused:
                self._notices.error(sentence)
            for creation in taken:
                self.adopted.emit(creation)
            if taken:
                self.opened.emit(taken[-1])
                self._offer_recipe(taken[-1])

        self._tasks.run(adopt, done)

    def adopt_picture(self, image: QImage, then: Callable[[Creation], None] | None = None) -> None:
        """Takes a pasted picture into the library, and opens it where nothing else is to be done with it."""

        def adopt() -> Creation:
            folder = self._home.root / "pasted"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "pasted.png"
            try:
                if not image.save(str(path)):
                    raise StudioError("The pasted picture could not be saved.", "Check that the disk is not full.")
                return self._library.import_file(path)
            finally:
                path.unlink(missing_ok=True)

        def done(creation: Creation) -> None:
            self.adopted.emit(creation)
            (then or self.opened.emit)(creation)

        self._tasks.run(adopt, done)

    def _offer_recipe(self, creation: Creation) -> None:
        recipe = creation.recipe
        tool = self._workspace.catalogue.tools.get(recipe.tool) if recipe else None
        if recipe is not None and tool is not None:
            self._notices.add(
                Notice(
                    f"This picture contains its settings: {tool.title}, seed {recipe.seed}.",
                    action_label="Use settings",
                    action=lambda: self.use(creation),
                )
            )
