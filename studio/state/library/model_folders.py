"""Folders of models that other programs have: looked at on a thread of their own, since drives can be slow."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from PySide6.QtCore import QObject, Signal

from studio.core.errors import StudioError
from studio.core.paths import Home
from studio.library.models import external_folders
from studio.library.models.external_folders import ExternalFolder
from studio.state.notices import Notices
from studio.state.tasks import Tasks


class ModelFolders(QObject):
    """`changed` says that other models can be chosen than before, or that a folder came or went."""

    changed = Signal()

    def __init__(self, home: Home, notices: Notices, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._home, self._notices = home, notices
        self._tasks = Tasks("model-folders", on_error=notices.report, parent=self)
        self._wanted: tuple[str, ...] = ()
        self._looking = False
        self._stop = threading.Event()
        self.folders: tuple[ExternalFolder, ...] = ()
        """As they were last seen."""

    @property
    def looking(self) -> bool:
        return self._looking

    def set_folders(self, folders: Sequence[str]) -> None:
        """What the artist wants now. A look at what was wanted before is given up."""
        if tuple(folders) != self._wanted:
            self._wanted = tuple(folders)
            self._stop.set()
            self.refresh()

    def refresh(self) -> None:
        """Looks again, unless it is looking, or there is nothing to look at."""
        if self._looking or not (self._wanted or self.folders or external_folders.load(self._home)):
            return
        self._looking = True
        self._stop = stop = threading.Event()
        wanted = self._wanted

        def look() -> tuple[bool, tuple[ExternalFolder, ...]]:
            changed = external_folders.refresh(self._home, wanted, stop.is_set)
            return changed, tuple(external_folders.load(self._home))

        def seen(result: tuple[bool, tuple[ExternalFolder, ...]]) -> None:
            changed, folders = result
            self._looking = False
            if wanted != self._wanted:
                self.refresh()
            elif changed or folders != self.folders:
                self.folders = folders
                self.changed.emit()

        def failed(error: StudioError) -> None:
            self._looking = False
            self._notices.error(str(error))

        self._tasks.run(look, seen, failed)

    def close(self) -> None:
        self._stop.set()
        self._tasks.close()
