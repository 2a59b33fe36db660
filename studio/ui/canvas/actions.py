"""What the canvas can do, as actions with keys, for its bars and for the window's menus."""

from __future__ import annotations

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

from studio.ui.theme import icons


class CanvasActions:
    """They work in the whole window; whoever connects them says what they do."""

    def __init__(self, owner: QWidget) -> None:
        self._owner = owner
        self.fit = self._action("Fit in view", "arrow-expand-all", "Ctrl+0")
        self.full_size = self._action("Actual size", "magnify", "Ctrl+1")
        self.zoom_in = self._action("Zoom in", "magnify-plus-outline", "Ctrl++", "Ctrl+=", "+", "=")
        self.zoom_out = self._action("Zoom out", "magnify-minus-outline", "Ctrl+-", "-")
        self.compare = self._action("Compare", "compare", "C")
        self.compare.setCheckable(True)
        self.play = self._action("Play or pause", "play", "K")
        self.frame_back = self._action("One frame back", "skip-previous", "J")
        self.frame_on = self._action("One frame on", "skip-next", "L")
        self.loop = self._action("Loop", "repeat", "")
        self.loop.setCheckable(True)
        self.loop.setChecked(True)

    @property
    def all(self) -> list[QAction]:
        return [*self.looking, *self.playing]

    @property
    def looking(self) -> list[QAction]:
        return [self.fit, self.full_size, self.zoom_in, self.zoom_out, self.compare]

    @property
    def playing(self) -> list[QAction]:
        return [self.play, self.frame_back, self.frame_on, self.loop]

    def _action(self, text: str, icon: str, *keys: str) -> QAction:
        action = QAction(icons.icon(icon, "text"), text, self._owner)
        action.setShortcuts([QKeySequence(key) for key in keys if key])
        action.setEnabled(False)
        hint = action.shortcut().toString()
        action.setToolTip(f"{text}  {hint}".strip())
        self._owner.addAction(action)
        return action
