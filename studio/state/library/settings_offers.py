"""Files from outside that may carry settings or a character: what they have is offered before it is used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from studio.core import params_schema
from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.core.untrusted_files import name_for_display
from studio.engine.character_values import CHAT
from studio.library.creation import Creation
from studio.state.form.workspace import Workspace
from studio.state.library.importing import Importer
from studio.state.notices import Notices
from studio.state.tasks import Tasks
from studio.state.undoable_actions import UndoableActions

if TYPE_CHECKING:
    from studio.library.library import Library
    from studio.state.library.settings_reader import SettingsOffer

SETTINGS_SUFFIXES = (".json", ".charx")
"""Extensions of files that have settings and nothing to import."""
MODEL_SUFFIX = ".zip"
"""Extension of exported models."""
TIME_LIMIT_MS = 8_000
"""Milliseconds after which a file counts as one without settings."""


class SettingsOffers(QObject):
    """Reads settings on a thread, and puts chosen ones into the form."""

    offered = Signal(object)
    """A `SettingsOffer` to choose from, of a file that is not imported yet or of a creation."""
    page_begun = Signal(str)
    """The text of a page that begins: the first message of a character."""

    def __init__(
        self,
        workspace: Workspace,
        importer: Importer,
        undoable: UndoableActions,
        notices: Notices,
        library: Library,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace, self._importer, self._undoable = workspace, importer, undoable
        self._notices, self._library = notices, library
        # A thread of its own: a file that takes long to read must not delay an import.
        self._tasks = Tasks("settings", drop_pending=True, on_error=notices.report, parent=self)

    def open_files(self, paths: Sequence[Path]) -> None:
        """Offer the settings of a single file. Import all others, and one without settings of another program."""
        if len(paths) != 1 or paths[0].is_dir() or paths[0].suffix.lower() == MODEL_SUFFIX:
            self._importer.import_files(paths)
            return

        def answer(offer: SettingsOffer | None) -> None:
            if offer is not None:
                self.offered.emit(offer)
            elif paths[0].suffix.lower() in SETTINGS_SUFFIXES:
                self._notices.info(f"{name_for_display(paths[0])} has no settings that can be used here.")
            else:
                self._importer.import_files(paths)

        self._read(paths[0], answer)

    def offer_for(self, creation: Creation) -> None:
        """Offer the settings of an imported creation, or say that it has none."""

        def answer(offer: SettingsOffer | None) -> None:
            if offer is None:
                self._notices.info("This file has no settings of another program that can be used here.")
            else:
                self.offered.emit(replace(offer, can_import=False))

        self._read(Path(creation.path), answer)

    def use(self, offer: SettingsOffer, names: Collection[str]) -> None:
        """Put the named settings into the form, and import an image. Undo takes the values back."""
        values = offer.combine(names)
        text = next((values.pop(field.name) for field in _page_fields(offer.tool) if field.name in values), "")
        before = self._workspace.draft.values.get(offer.tool.id, {})
        self._undoable.put_values(offer.tool.id, {**before, **values}, "using settings", offer.find_seed(names))
        if offer.problems:
            self._notices.info(" ".join(["Some settings were left out.", *offer.problems]))
        if text:
            self.page_begun.emit(text)
        if offer.imports_when_used:
            self.import_only(offer)

    def import_only(self, offer: SettingsOffer) -> None:
        """Import the file of an offer, if it can be imported and is not yet."""
        if offer.can_import:
            self._importer.import_files([offer.path])

    def close(self) -> None:
        self._tasks.close()

    def _read(self, path: Path, answer: Callable[[SettingsOffer | None], None]) -> None:
        """Read the settings of a file, and call `answer` once: with them, or with None when the time is over."""
        tools, current = self._workspace.catalogue.tools, self._workspace.tool
        chat = self._workspace.draft.values.get(CHAT, {})
        names = str(chat.get("persona") or "Muse"), str(chat.get("name") or "You")
        limit = QTimer(self, singleShot=True, interval=TIME_LIMIT_MS)
        is_answered = False

        def finish(offer: SettingsOffer | None) -> None:
            nonlocal is_answered
            if not is_answered:
                is_answered = True
                limit.stop()
                limit.deleteLater()
                answer(offer)

        def read() -> SettingsOffer | None:
            from studio.state.library.settings_reader import read_offer

            return read_offer(path, tools, current, names, self._library)

        limit.timeout.connect(lambda: finish(None))
        limit.start()
        self._tasks.run(read, finish)


def _page_fields(tool: ToolDescriptor) -> list[Field]:
    return [field for field in params_schema.read_fields(tool.schema) if field.widget is Widget.PAGE]
