"""Plays an animation: time, loop, stepping and scrubbing. It shows nothing itself."""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QImage

from studio.core.errors import StudioError
from studio.ui.canvas.frame_cache import BUDGET, FrameCache
from studio.ui.canvas.frame_reader import Clip


class Player(QObject):
    """One animation, from `start` to `close`."""

    frame_shown = Signal(int, QImage)
    """Its number and its picture."""
    counted = Signal(int)
    playing_changed = Signal(bool)
    failed = Signal(StudioError)
    _reel_changed = Signal()

    def __init__(self, clip: Clip, parent: QObject | None = None, budget: int = BUDGET) -> None:
        super().__init__(parent)
        self.loop = True
        self._playing = False
        self._shown = -1
        self._target = 0
        self._due = 0.0
        self._counted = 0
        self._over = False
        self._timer = QTimer(self, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._advance)
        self._reel_changed.connect(self._look, Qt.ConnectionType.QueuedConnection)
        self._reel = FrameCache(clip, self._reel_changed.emit, budget)

    @property
    def playing(self) -> bool:
        return self._playing

    @property
    def count(self) -> int:
        return self._counted

    @property
    def position(self) -> int:
        """The number of the frame that is shown, or about to be."""
        return self._target

    def play(self) -> None:
        if not self._playing and not self._over:
            if not self.loop and self._target == self._counted - 1:
                self._target = 0
            self._set_playing(True)
            self._due = time.monotonic()
            self._look()

    def pause(self) -> None:
        self._timer.stop()
        self._set_playing(False)

    def toggle(self) -> None:
        if self._playing:
            self.pause()
        else:
            self.play()

    def seek(self, number: int) -> None:
        """Shows this frame as soon as it is read; playing goes on from there."""
        if self._counted:
            self._target = min(max(number, 0), self._counted - 1)
            self._due = time.monotonic()
            self._look()

    def step(self, by: int) -> None:
        """Pauses, and goes this many frames on or back, around the ends."""
        self.pause()
        if self._counted:
            self.seek((self._target + by) % self._counted)

    def close(self) -> None:
        """Waits until neither thread nor process is left."""
        self.stop()
        self._reel.close()

    def stop(self) -> None:
        """Ends it without waiting; `running` says when it is over."""
        self._timer.stop()
        self._playing, self._over = False, True
        self._reel.stop()

    @property
    def running(self) -> bool:
        return self._reel.running

    def _set_playing(self, playing: bool) -> None:
        if playing != self._playing:
            self._playing = playing
            self.playing_changed.emit(playing)

    def _look(self) -> None:
        """Shows the frame that is wanted if it has arrived, and sets the time for the next."""
        reel = self._reel
        if self._over:
            return
        if reel.failure is not None:
            self.pause()
            self._over = True
            self.failed.emit(reel.failure)
            return
        if reel.count != self._counted:
            self._counted = reel.count
            self._target = min(self._target, max(self._counted - 1, 0))
            self.counted.emit(self._counted)
        if self._shown == self._target and (self._timer.isActive() or not self._playing):
            return
        frame = reel.frame(self._target)
        if frame is None:
            return
        if self._shown != self._target:
            self._shown = self._target
            self.frame_shown.emit(self._target, frame.image)
        if self._playing:
            now = time.monotonic()
            # A frame that came late does not make the next ones hurry.
            self._due = max(self._due, now - frame.seconds) + frame.seconds
            self._timer.start(max(0, round((self._due - now) * 1000)))

    def _advance(self) -> None:
        if not self._playing or not self._counted:
            return
        if self._target + 1 < self._counted:
            self._target += 1
        elif self.loop:
            self._target = 0
        else:
            self.pause()
            return
        self._look()
