"""A bounded cache of decoded frames, filled by a thread around the current frame."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator

from studio.core.errors import StudioError
from studio.ui.canvas.frame_reader import Clip, Frame

BUDGET = 256 * 2**20
"""Default limit in bytes. An animation within it is decoded once, however often it loops."""
MAX_READ_AHEAD = 32
"""A frame at most this far ahead is reached by reading; a farther one by seeking."""


class FrameCache:
    """The frames of one clip by number. `changed` is called on the cache's thread after each step.

    `close` ends the thread and the process of the clip.
    """

    def __init__(self, clip: Clip, changed: Callable[[], None], budget: int = BUDGET) -> None:
        self.count = 0
        """Number of frames; 0 until it is known."""
        self.failure: StudioError | None = None
        self._clip = clip
        self._changed = changed
        self._budget = budget
        self._frames: dict[int, Frame] = {}
        self._size_in_bytes = 0
        self._current = 0
        self._closed = False
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="frame-cache", daemon=True)
        self._thread.start()

    def frame(self, number: int) -> Frame | None:
        """Return a frame if it is decoded, and make it the one around which frames are kept and read ahead."""
        with self._condition:
            self._current = number
            self._condition.notify()
            return self._frames.get(number)

    @property
    def size_in_bytes(self) -> int:
        """Size of the frames in memory."""
        return self._size_in_bytes

    def stop(self) -> None:
        """Stop without waiting for the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._clip.stop()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            self.count = self._clip.count()
            self._changed()
            self._fill()
        except StudioError as error:
            self._fail(error)
        except OSError:
            self._fail(StudioError("The animation can no longer be read.", "Its file may have been moved or deleted."))
        if self._closed:
            self._frames.clear()
            self._size_in_bytes = 0

    def _fail(self, error: StudioError) -> None:
        if not self._closed:
            self.failure = error
            self._changed()

    def _fill(self) -> None:
        reader: Generator[Frame, None, None] | None = None
        at = 0
        try:
            while (target := self._next_missing()) is not None:
                if reader is None or not at <= target <= at + MAX_READ_AHEAD:
                    _close_reader(reader)
                    reader, at = self._clip.frames(target), target
                frame = next(reader, None)
                if frame is None:
                    if at == 0 or self._closed:
                        raise StudioError("The animation is damaged and cannot be played.")
                    self.count = min(self.count, at) if target >= at else self.count
                    reader = None
                else:
                    self._store(at, frame)
                    at += 1
                self._changed()
        finally:
            _close_reader(reader)

    def _next_missing(self) -> int | None:
        """Wait for a frame that is missing and fits into the budget, and return its number; None once closed."""
        with self._condition:
            while not self._closed:
                per_frame = max((self._size_in_bytes // len(self._frames)) if self._frames else 1, 1)
                ahead = min(self.count, max(2, self._budget // per_frame * 3 // 4))
                for step in range(ahead):
                    number = (self._current + step) % self.count
                    if number not in self._frames:
                        return number
                self._condition.wait()
            return None

    def _store(self, number: int, frame: Frame) -> None:
        with self._condition:
            if self._closed or number in self._frames:
                return
            self._frames[number] = frame
            self._size_in_bytes += frame.size
            while self._size_in_bytes > self._budget and len(self._frames) > 2:
                farthest = max(self._frames, key=lambda n: (n - self._current) % self.count)
                self._size_in_bytes -= self._frames.pop(farthest).size


def _close_reader(reader: Generator[Frame, None, None] | None) -> None:
    if reader is not None:
        reader.close()
