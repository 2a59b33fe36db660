"""The player of an animation: timing, loop, stepping and seeking. It has no widget."""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QImage

from studio.core.errors import StudioError
from studio.ui.canvas.frame_cache import BUDGET, FrameCache
from studio.ui.canvas.frame_reader import Clip


class Player(QObject):
    """Plays one animation until `close`."""

    frame_shown = Signal(int, QImage)
    """Emitted with a frame's number and image."""
    count_known = Signal(int)
    playing_changed = Signal(bool)
    failed = Signal(StudioError)
    _cache_changed = Signal()

    def __init__(self, clip: Clip, parent: QObject | None = None, budget: int = BUDGET) -> None:
        super().__init__(parent)
        self.loop = True
        self._playing = False
        self._shown_frame = -1
        self._target = 0
        self._due = 0.0
        self._count = 0
        self._is_over = False
        self._timer = QTimer(self, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._advance)
        self._cache_changed.connect(self._update, Qt.ConnectionType.QueuedConnection)
        self._cache = FrameCache(clip, self._cache_changed.emit, budget)

    @property
    def playing(self) -> bool:
        return self._playing

    @property
    def count(self) -> int:
        return self._count

    @property
    def position(self) -> int:
        """The number of the current or next frame."""
        return self._target

    def play(self) -> None:
        if not self._playing and not self._is_over:
            if not self.loop and self._target == self._count - 1:
                self._target = 0
            self._set_playing(True)
            self._due = time.monotonic()
            self._update()

    def pause(self) -> None:
        self._timer.stop()
        self._set_playing(False)

    def toggle(self) -> None:
        if self._playing:
            self.pause()
        else:
            self.play()

    def seek(self, number: int) -> None:
        """Show a frame as soon as it is decoded; playing continues from there."""
        if self._count:
            self._target = min(max(number, 0), self._count - 1)
            self._due = time.monotonic()
            self._update()

    def step(self, by: int) -> None:
        """Pause, and step so many frames on or back; the ends are joined."""
        self.pause()
        if self._count:
            self.seek((self._target + by) % self._count)

    def close(self) -> None:
        """Stop, and wait until the thread and the process have ended."""
        self.stop()
        self._cache.close()

    def stop(self) -> None:
        """Stop without waiting; `running` is false once the thread has ended."""
        self._timer.stop()
        self._playing, self._is_over = False, True
        self._cache.stop()

    @property
    def running(self) -> bool:
        return self._cache.running

    def _set_playing(self, playing: bool) -> None:
        if playing != self._playing:
            self._playing = playing
            self.playing_changed.emit(playing)

    def _update(self) -> None:
        """Show the current frame if it is decoded, and schedule the next."""
        cache = self._cache
        if self._is_over:
            return
        if cache.failure is not None:
            self.pause()
            self._is_over = True
            self.failed.emit(cache.failure)
            return
        if cache.count != self._count:
            self._count = cache.count
            self._target = min(self._target, max(self._count - 1, 0))
            self.count_known.emit(self._count)
        if self._shown_frame == self._target and (self._timer.isActive() or not self._playing):
            return
        frame = cache.frame(self._target)
        if frame is None:
            return
        if self._shown_frame != self._target:
            self._shown_frame = self._target
            self.frame_shown.emit(self._target, frame.image)
        if self._playing:
            now = time.monotonic()
            # A frame that came late does not make the next ones hurry.
            self._due = max(self._due, now - frame.seconds) + frame.seconds
            self._timer.start(max(0, round((self._due - now) * 1000)))

    def _advance(self) -> None:
        if not self._playing or not self._count:
            return
        if self._target + 1 < self._count:
            self._target += 1
        elif self.loop:
            self._target = 0
        else:
            self.pause()
            return
        self._update()
