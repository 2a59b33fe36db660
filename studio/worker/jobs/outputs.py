"""From what a tool yields to files on disk and messages to the studio."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio import api
from studio.core.messages import JobNotice, JobProgress, ResultSaved, RunJob, replace_surrogates
from studio.core.notices import NoticeLevel
from studio.core.paths import Home
from studio.core.recipe import Recipe
from studio.core.settings import Settings
from studio.library.storage import writer
from studio.worker.jobs import preview_frames
from studio.worker.stdio import Outbox

PREVIEW_SECONDS = 1 / 12
"""Between two pictures in the making; those that come sooner are not even converted."""

IMAGE_FORMATS = ("png", "jpg", "jpeg", "webp", "avif")
ANIMATION_FORMATS = ("mp4", "webp", "gif")


class Outputs:
    """What one job makes. `recipe()` gives the recipe of a result, as of now."""

    def __init__(
        self,
        run: RunJob,
        *,
        home: Home,
        settings: Settings,
        outbox: Outbox,
        recipe: Callable[[], Recipe],
        check_cancelled: Callable[[], None],
    ) -> None:
        self._run = run
        self._home = home
        self._settings = settings
        self._outbox = outbox
        self._recipe = recipe
        self._check_cancelled = check_cancelled
        self._pace = Pace()
        self._last_preview = float("-inf")
        self._progressed = 0

    def take(self, event: api.Event) -> None:
        said = {name: replace_surrogates(value) for name, value in vars(event).items() if isinstance(value, str | dict)}
        event = replace(event, **said)
        match event:
            case api.Progress():
                self._progress(event)
            case api.Preview(content=str() as text):
                self._outbox.offer(preview_frames.words(self._run.job, text, event.label))
            case api.Preview():
                self._preview(event.content, event.label)
            case api.Notice():
                self._outbox.send(JobNotice(self._run.job, event.text, NoticeLevel(event.level)))
            case _ if self._run.draft:
                self._show(event)
            case _:
                if isinstance(event, api.Image):
                    self._outbox.send(preview_frames.pixels(self._run.job, event.picture, event.name))
                path = self._save(event)
                self._outbox.send(ResultSaved(job=self._run.job, path=str(path), digest=writer.sha_of(path)))

    def say(self, text: str) -> None:
        """What the host itself does, where it may take a while."""
        self._outbox.offer(JobProgress(self._run.job, 0, 0, text))

    def _progress(self, event: api.Progress) -> None:
        self._progressed += 1
        left = self._pace.seconds_left(event.step, event.total, time.monotonic())
        self._outbox.offer(JobProgress(self._run.job, float(event.step), float(event.total), event.text, left))

    def _preview(self, picture: Any, label: str = "") -> None:
        now = time.monotonic()
        if now - self._last_preview >= PREVIEW_SECONDS:
            self._last_preview = now
            self._outbox.offer(preview_frames.pixels(self._run.job, picture, label))

    def _show(self, event: api.Event) -> None:
        """The result of a draft is seen and not kept; of an animation its first frame."""
        match event:
            case api.Image():
                self._outbox.send(preview_frames.pixels(self._run.job, event.picture, event.name))
            case api.Animation():
                for frame in event.frames:
                    self._outbox.send(preview_frames.pixels(self._run.job, frame, event.name))
                    break
            case api.Text():
                self._outbox.send(preview_frames.words(self._run.job, event.text, event.name))
            case _:
                pass

    def _save(self, event: api.Event) -> Path:
        match event:
            case api.Image():
                return writer.save_image(
                    self._home,
                    event.picture,
                    self._recipe(),
                    format=self._format(IMAGE_FORMATS, self._settings.image_format),
                    name=event.name,
                    notes=event.notes,
                )
            case api.Animation():
                return writer.save_animation(
                    self._home,
                    self._frames(event),
                    self._recipe(),
                    fps=event.fps,
                    loop=event.loop,
                    format=self._format(ANIMATION_FORMATS, self._settings.animation_format),
                    name=event.name,
                    notes=event.notes,
                    sound=event.sound,
                )
            case api.Text():
                return writer.save_text(
                    self._home, event.text, self._recipe(), title=event.title, name=event.name, notes=event.notes
                )
            case api.Trained():
                return writer.save_model(
                    self._home,
                    Path(event.folder),
                    self._recipe(),
                    title=event.title,
                    kind=event.kind,
                    notes=event.notes,
                )
            case _:
                raise AssertionError(f"{event} has been taken care of")

    def _format(self, known: tuple[str, ...], default: str) -> str:
        """The one asked for, where it fits what was made."""
        asked = self._run.format.lower().lstrip(".")
        return asked if asked in known else default

    def _frames(self, event: api.Animation) -> Iterator[Any]:
        """The frames as they come. Where the tool says nothing of their progress, this does."""
        total = len(event.frames) if isinstance(event.frames, Sized) else 0
        said = self._progressed
        for number, frame in enumerate(event.frames, 1):
            self._check_cancelled()
            yield frame
            if self._progressed == said:
                left = self._pace.seconds_left(number, total, time.monotonic())
                self._outbox.offer(JobProgress(self._run.job, number, total, f"Frame {number}", left))
            self._preview(frame)


class Pace:
    """Foretells the time left from the median of the latest steps."""

    def __init__(self) -> None:
        self._total = 0.0
        self._began = self._then = 0.0
        self._step: float | None = None
        self._each: deque[float] = deque(maxlen=15)

    def seconds_left(self, step: float, total: float, now: float) -> float:
        """-1 until three steps and one second have passed, or where the end is not known."""
        if self._step is None or step < self._step or total != self._total:
            self._total, self._step, self._began, self._then = total, step, now, now
            self._each.clear()
        elif step > self._step:
            self._each.append((now - self._then) / (step - self._step))
            self._step, self._then = step, now
        if total <= 0 or len(self._each) < 3 or now - self._began < 1:
            return -1.0
        return max(0.0, statistics.median(self._each) * (total - step))
