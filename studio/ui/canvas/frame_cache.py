"""A bounded store of decoded frames, filled by a thread around the frame that is wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator

from studio.core.errors import StudioError
from studio.ui.canvas.frame_reader import Clip, Frame

BUDGET = 256 * 2**20
"""Bytes of decoded frames. What fits entirely is decoded once, however often it loops."""
NEAR = 32
"""A frame at most this far ahead is reached by reading on; a farther one by seeking."""


class FrameCache:
    """Frames by number, for one reader. `changed` is called on the reel's thread after each step.

    Ends with `close`, which leaves neither thread nor process behind.
    """

    def __init__(self, clip: Clip, changed: Callable[[], None], budget: int = BUDGET) -> None:
        self.count = 0
        """0 until it is known."""
        self.failure: StudioError | None = None
        self._clip = clip
        self._changed = changed
        self._budget = budget
        self._frames: dict[int, Frame] = {}
        self._held = 0
        self._wanted = 0
        self._closed = False
        self._turn = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="reel", daemon=True)
        self._thread.start()

    def frame(self, number: int) -> Frame | None:
        """The frame if it is there. Asking moves the window of what is kept and read ahead."""
        with self._turn:
            self._wanted = number
            self._turn.notify()
            return self._frames.get(number)

    @property
    def held(self) -> int:
        """Bytes of frames in memory."""
        return self._held

    def stop(self) -> None:
        """Ends it without waiting; what is being read ends soon."""
        with self._turn:
            self._closed = True
            self._turn.notify()
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
            self._fail(StudioError("The animation cannot be read any more.", "Its file may have been moved."))
        if self._closed:
            self._frames.clear()
            self._held = 0

    def _fail(self, error: StudioError) -> None:
        if not self._closed:
            self.failure = error
            self._changed()

    def _fill(self) -> None:
        reading: Generator[Frame, None, None] | None = None
        at = 0
        try:
            while (target := self._next_missing()) is not None:
                if reading is None or not at <= target <= at + NEAR:
                    _close(reading)
                    reading, at = self._clip.frames(target), target
                frame = next(reading, None)
                if frame is None:
                    if at == 0 or self._closed:
                        raise StudioError("The animation is damaged and cannot be played.")
                    self.count = min(self.count, at) if target >= at else self.count
                    reading = None
                else:
                    self._keep(at, frame)
                    at += 1
                self._changed()
        finally:
            _close(reading)

    def _next_missing(self) -> int | None:
        """The nearest frame to come that is not here and has room; waits for one. None once closed."""
        with self._turn:
            while not self._closed:
                per_frame = max((self._held // len(self._frames)) if self._frames else 1, 1)
                ahead = min(self.count, max(2, self._budget // per_frame * 3 // 4))
                for step in range(ahead):
                    number = (self._wanted + step) % self.count
                    if number not in self._frames:
                        return number
                self._turn.wait()
            return None

    def _keep(self, number: int, frame: Frame) -> None:
        with self._turn:
            if self._closed or number in self._frames:
                return
            self._frames[number] = frame
            self._held += frame.size
            while self._held > self._budget and len(self._frames) > 2:
                farthest = max(self._frames, key=lambda n: (n - self._wanted) % self.count)
                self._held -= self._frames.pop(farthest).size


def _close(reading: Generator[Frame, None, None] | None) -> None:
    if reading is not None:
        reading.close()
