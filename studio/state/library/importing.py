"""Files and pasted pictures from outside: into the library, and into the form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from studio.core.errors import StudioError
from studio.core.paths import Home
from studio.library.creation import Creation
from studio.state.form.workspace import Workspace
from studio.state.notices import Notice, Notices
from studio.state.tasks import Tasks

if TYPE_CHECKING:
    from studio.library.library import Library


class Importer(QObject):
    imported = Signal(object)
    """A file that became a creation."""
    opened = Signal(object)
    """An imported creation that the canvas should show."""

    def __init__(
        self,
        home: Home,
        library: Library,
        workspace: Workspace,
        notices: Notices,
        tasks: Tasks,
        use_settings: Callable[[Creation], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._home, self._library, self._workspace = home, library, workspace
        self._notices, self._tasks, self._use_settings = notices, tasks, use_settings

    def import_files(self, paths: Sequence[Path]) -> None:
        """Import files, and models in folders and archives, into the library, and open the last of them."""

        from studio.library.models import model_import

        def import_all() -> tuple[list[Creation], list[str]]:
            creations, errors = [], []
            for path in paths:
                try:
                    creations.append(model_import.import_file(self._library, path))
                except StudioError as error:
                    errors.append(str(error))
            return creations, errors

        def show(result: tuple[list[Creation], list[str]]) -> None:
            creations, errors = result
            for sentence in errors:
                self._notices.error(sentence)
            for creation in creations:
                self.imported.emit(creation)
            if creations:
                self.opened.emit(creations[-1])
                self._offer_settings(creations[-1])

        self._tasks.run(import_all, show)

    def import_image(self, image: QImage, then: Callable[[Creation], None] | None = None) -> None:
        """Import a pasted picture, then call `then` with it, or open it where there is no `then`."""

        def save() -> Creation:
            folder = self._home.root / "pasted"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "pasted.png"
            try:
                if not image.save(str(path)):
                    raise StudioError("The pasted image could not be saved.", "Check that the disk is not full.")
                return self._library.import_file(path)
            finally:
                path.unlink(missing_ok=True)

        def show(creation: Creation) -> None:
            self.imported.emit(creation)
            (then or self.opened.emit)(creation)

        self._tasks.run(save, show)

    def _offer_settings(self, creation: Creation) -> None:
        recipe = creation.recipe
        tool = self._workspace.catalogue.tools.get(recipe.tool) if recipe else None
        if recipe is not None and tool is not None:
            self._notices.add(
                Notice(
                    f"This {creation.kind.value} contains its settings: {tool.title}, seed {recipe.seed}.",
                    action_label="Use settings",
                    action=lambda: self._use_settings(creation),
                )
            )
