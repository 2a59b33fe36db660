"""The canvas's actions with keys, for its bars and for the window's menus."""

from __future__ import annotations

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

from studio.ui.theme import icons


class CanvasActions:
    """Actions with window-wide shortcuts. The canvas connects them."""

    def __init__(self, owner: QWidget) -> None:
        self._owner = owner
        self.fit = self._make_action("Fit in view", "arrow-expand-all", "Ctrl+0")
        self.actual_size = self._make_action("Actual size", "magnify", "Ctrl+1")
        self.zoom_in = self._make_action("Zoom in", "magnify-plus-outline", "Ctrl++", "Ctrl+=", "+", "=")
        self.zoom_out = self._make_action("Zoom out", "magnify-minus-outline", "Ctrl+-", "-")
        self.compare = self._make_action("Compare", "compare", "C")
        self.compare.setCheckable(True)
        self.play = self._make_action("Play or pause", "play", "K")
        self.previous_frame = self._make_action("Previous frame", "skip-previous", "J")
        self.next_frame = self._make_action("Next frame", "skip-next", "L")
        self.loop = self._make_action("Loop", "repeat", "")
        self.loop.setCheckable(True)
        self.loop.setChecked(True)

    @property
    def all(self) -> list[QAction]:
        return [*self.view_actions, *self.playback_actions]

    @property
    def view_actions(self) -> list[QAction]:
        return [self.fit, self.actual_size, self.zoom_in, self.zoom_out, self.compare]

    @property
    def playback_actions(self) -> list[QAction]:
        return [self.play, self.previous_frame, self.next_frame, self.loop]

    def _make_action(self, text: str, icon: str, *keys: str) -> QAction:
        action = QAction(icons.icon(icon, "text"), text, self._owner)
        action.setShortcuts([QKeySequence(key) for key in keys if key])
        action.setEnabled(False)
        hint = action.shortcut().toString()
        action.setToolTip(f"{text}  {hint}".strip())
        self._owner.addAction(action)
        return action
