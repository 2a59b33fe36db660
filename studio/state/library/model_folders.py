"""Model folders of other programs, scanned on a thread of their own, since drives can be slow."""

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
    """`changed` is emitted when other models can be chosen, or a folder was connected or disconnected."""

    changed = Signal()

    def __init__(self, home: Home, notices: Notices, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._home, self._notices = home, notices
        self._tasks = Tasks("model-folders", on_error=notices.report, parent=self)
        self._folder_paths: tuple[str, ...] = ()
        self._is_scanning = False
        self._stop = threading.Event()
        self.folders: tuple[ExternalFolder, ...] = ()
        """The folders as of the last scan."""

    def set_folders(self, folders: Sequence[str]) -> None:
        """Set the folders to scan. A scan of other folders is stopped."""
        if tuple(folders) != self._folder_paths:
            self._folder_paths = tuple(folders)
            self._stop.set()
            self.refresh()

    def refresh(self) -> None:
        """Scan the folders, unless a scan runs or there are none."""
        if self._is_scanning or not (self._folder_paths or self.folders or external_folders.load(self._home)):
            return
        self._is_scanning = True
        self._stop = stop = threading.Event()
        paths = self._folder_paths

        def scan() -> tuple[bool, tuple[ExternalFolder, ...]]:
            changed = external_folders.refresh(self._home, paths, stop.is_set)
            return changed, tuple(external_folders.load(self._home))

        def show(result: tuple[bool, tuple[ExternalFolder, ...]]) -> None:
            changed, folders = result
            self._is_scanning = False
            if paths != self._folder_paths:
                self.refresh()
            elif changed or folders != self.folders:
                self.folders = folders
                self.changed.emit()

        def show_error(error: StudioError) -> None:
            self._is_scanning = False
            self._notices.error(str(error))

        self._tasks.run(scan, show, show_error)

    def close(self) -> None:
        self._stop.set()
        self._tasks.close()
