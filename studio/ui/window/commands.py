"""Every command of the window: in a menu and in the palette, with its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar, QWidget

from studio.ui.widgets import labels


@dataclass(frozen=True)
class PaletteEntry:
    """A command as the palette shows it."""

    title: str
    key: str
    run: Callable[[], object]


class Commands(QObject):
    """Collects actions by menu. `more` adds what changes, such as one entry per tool."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._menus: dict[str, list[QAction | None]] = {}
        self.more: list[Callable[[], list[PaletteEntry]]] = []

    def add(self, menu: str, title: str, act: Callable[[], object], *keys: str, checkable: bool = False) -> QAction:
        action = QAction(title.replace("&", "&&"), self._window)
        action.setShortcuts([QKeySequence(key) for key in keys])
        action.setCheckable(checkable)
        action.triggered.connect(lambda _=False: act())
        return self.take(menu, action)

    def take(self, menu: str, action: QAction) -> QAction:
        """An action that was made elsewhere."""
        self._menus.setdefault(menu, []).append(action)
        self._window.addAction(action)
        return action

    def separate(self, menu: str) -> None:
        self._menus.setdefault(menu, []).append(None)

    def fill(self, bar: QMenuBar) -> None:
        for title, actions in self._menus.items():
            menu = QMenu(title, bar)
            labels.describe(menu, title)
            menu.setToolTip("")
            for action in actions:
                if action is None:
                    menu.addSeparator()
                else:
                    menu.addAction(action)
            bar.addMenu(menu)

    def actions(self) -> list[QAction]:
        return [action for actions in self._menus.values() for action in actions if action is not None]

    def entries(self) -> list[PaletteEntry]:
        """Everything that can be done now."""
        found = [
            PaletteEntry(action.text().replace("&&", "&").rstrip("…"), _keys(action), action.trigger)
            for action in self.actions()
            if action.isEnabled()
        ]
        for more in self.more:
            found += more()
        return found


def _keys(action: QAction) -> str:
    return action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
