"""The window's commands, for the menus and the command palette."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar, QWidget

from studio.ui.widgets import labels


@dataclass(frozen=True)
class PaletteEntry:
    """A command as the command palette shows it."""

    title: str
    key: str
    run: Callable[[], object]


class Commands(QObject):
    """Collect actions by menu. Functions in `more` return entries for the palette only, such as one per tool."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._menus: dict[str, list[QAction | None]] = {}
        self.more: list[Callable[[], list[PaletteEntry]]] = []

    def add(self, menu: str, title: str, run: Callable[[], object], *keys: str, checkable: bool = False) -> QAction:
        action = QAction(title.replace("&", "&&"), self._window)
        action.setShortcuts([QKeySequence(key) for key in keys])
        action.setCheckable(checkable)
        action.triggered.connect(lambda _=False: run())
        return self.add_action(menu, action)

    def add_action(self, menu: str, action: QAction) -> QAction:
        """Add an action that another widget made."""
        self._menus.setdefault(menu, []).append(action)
        self._window.addAction(action)
        return action

    def add_separator(self, menu: str) -> None:
        self._menus.setdefault(menu, []).append(None)

    def fill_menu_bar(self, bar: QMenuBar) -> None:
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
        """Return the enabled commands and the entries of `more`."""
        entries = [
            PaletteEntry(action.text().replace("&&", "&").rstrip("…"), _format_key(action), action.trigger)
            for action in self.actions()
            if action.isEnabled()
        ]
        for more in self.more:
            entries += more()
        return entries


def _format_key(action: QAction) -> str:
    return action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
