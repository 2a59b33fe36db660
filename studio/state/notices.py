"""Notices for the artist: one sentence each, until it is dismissed."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from PySide6.QtCore import QObject, Signal

from studio.core.errors import StudioError
from studio.core.notices import NoticeLevel

MAX_NOTICES = 20
"""Number of notices; the oldest are dropped."""


_ids = count(1)


@dataclass(frozen=True)
class Notice:
    """`action` is offered as a button labelled `action_label`."""

    text: str
    level: NoticeLevel = NoticeLevel.INFO
    details: str = ""
    action_label: str = ""
    action: Callable[[], object] | None = None
    id: int = field(default_factory=lambda: next(_ids))


class Notices(QObject):
    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._items: list[Notice] = []

    @property
    def items(self) -> tuple[Notice, ...]:
        """Oldest first."""
        return tuple(self._items)

    def add(self, notice: Notice) -> None:
        """Add a notice. It replaces an older one with the same text."""
        others = [item for item in self._items if item.text != notice.text]
        self._items = [*others[1 - MAX_NOTICES :], notice]
        self.changed.emit()

    def info(self, text: str) -> None:
        self.add(Notice(text))

    def error(self, text: str, details: str = "") -> None:
        self.add(Notice(text, NoticeLevel.ERROR, details))

    def report(self, error: BaseException) -> None:
        """Add a notice about the exception of a task; an unexpected one has its traceback as details."""
        if isinstance(error, StudioError):
            self.error(str(error))
        else:
            details = "".join(traceback.format_exception(error))
            self.error("An unexpected error occurred. Your work is safe.", details)

    def dismiss(self, id: int) -> None:
        self._items = [item for item in self._items if item.id != id]
        self.changed.emit()

    def clear(self) -> None:
        self._items = []
        self.changed.emit()
