"""The events of a tool as files on disk and messages to the studio."""

from __future__ import annotations

import re
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio import api
from studio.core import params_schema, training_record
from studio.core.descriptor import Widget
from studio.core.files import write_bytes_atomically
from studio.core.messages import ImageCaptioned, JobNotice, JobProgress, ResultSaved, RunJob, replace_surrogates
from studio.core.notices import NoticeLevel
from studio.core.paths import Home
from studio.core.recipe import Recipe
from studio.core.settings import Settings
from studio.library.models import offers
from studio.library.storage import model_names, writer
from studio.worker.jobs import preview_frames
from studio.worker.stdio import Outbox

IMAGE_FORMATS = ("png", "jpg", "jpeg", "webp", "avif")
ANIMATION_FORMATS = ("mp4", "webp", "gif", "apng")


class Outputs:
    """Takes the events of one job.

    `schema` is that of the tool's parameters. `build_recipe` returns the recipe of a result with these notes that is
    finished now, and `list_private_paths` the paths that no file may hold.
    """

    def __init__(
        self,
        run: RunJob,
        *,
        schema: Mapping[str, Any],
        home: Home,
        settings: Settings,
        outbox: Outbox,
        build_recipe: Callable[[Mapping[str, Any]], Recipe],
        list_private_paths: Callable[[], Iterable[str]],
        check_cancelled: Callable[[], None],
        report_work: Callable[[api.WorkDone], None],
    ) -> None:
        self._run = run
        self._schema = schema
        self._home = home
        self._settings = settings
        self._outbox = outbox
        self._build_recipe = build_recipe
        self._list_private_paths = list_private_paths
        self._check_cancelled = check_cancelled
        self._report_work = report_work
        self._time_left = TimeLeft()
        self._progress_events = 0

    def handle(self, event: api.Event) -> None:
        """Show or save what a tool yielded."""
        texts = {
            name: replace_surrogates(value) for name, value in vars(event).items() if isinstance(value, str | dict)
        }
        event = replace(event, **texts)
        match event:
            case api.Progress():
                self._show_progress(event)
            case api.Preview():
                self._offer_preview(event)
            case api.Notice():
                self._outbox.send(JobNotice(self._run.job, event.text, NoticeLevel(event.level)))
            case api.WorkDone():
                self._report_work(event)
            case api.Caption():
                self._handle_caption(event)
            case _ if self._run.draft:
                self._show_draft(event)
            case _:
                if isinstance(event, api.Image):
                    self._outbox.send(preview_frames.picture_frame(self._run.job, event.picture, event.name))
                path = self._save(event)
                self._outbox.send(ResultSaved(job=self._run.job, path=str(path), digest=writer.digest_of(path)))

    def show_status(self, text: str) -> None:
        """Tell the artist what the host itself does, where that may take a while."""
        self._outbox.offer(JobProgress(self._run.job, 0, 0, text))

    def _show_progress(self, event: api.Progress) -> None:
        self._progress_events += 1
        left = self._time_left.estimate(event.step, event.total, time.monotonic())
        self._outbox.offer(JobProgress(self._run.job, float(event.step), float(event.total), event.text, left))

    def _offer_preview(self, event: api.Preview) -> None:
        content, job = event.content, self._run.job
        if isinstance(content, str):
            self._outbox.offer(preview_frames.text_frame(job, content, event.label))
        elif callable(content):
            self._outbox.offer_picture(job, lambda: preview_frames.picture_frame(job, content(), event.label))
        else:
            self._outbox.offer_picture(job, lambda: preview_frames.picture_frame(job, content, event.label))

    def _handle_caption(self, event: api.Caption) -> None:
        if not self._run.draft:
            write_bytes_atomically(event.image.with_suffix(".txt"), f"{event.text}\n".encode())
        self._outbox.send(ImageCaptioned(self._run.job, str(event.image), event.text))

    def _show_draft(self, event: api.Event) -> None:
        """Show the result of a draft, which is not saved; of an animation its first frame."""
        match event:
            case api.Image():
                self._outbox.send(preview_frames.picture_frame(self._run.job, event.picture, event.name))
            case api.Animation():
                for frame in event.frames:
                    picture = api.animations.image_of(frame)
                    self._outbox.send(preview_frames.picture_frame(self._run.job, picture, event.name))
                    break
            case api.Text():
                self._outbox.send(preview_frames.text_frame(self._run.job, event.text, event.name))
            case _:
                pass

    def _save(self, event: api.Event) -> Path:
        match event:
            case api.Image():
                return writer.save_image(
                    self._home,
                    event.picture,
                    self._build_recipe(event.notes),
                    format=self._choose_format(IMAGE_FORMATS, self._settings.image_format),
                    name=event.name,
                )
            case api.Animation():
                return writer.save_animation(
                    self._home,
                    self._iterate_frames(event),
                    self._build_recipe(event.notes),
                    fps=event.fps,
                    loop=event.loop,
                    format=self._choose_format(ANIMATION_FORMATS, self._settings.animation_format),
                    name=event.name,
                    sound=event.sound,
                )
            case api.Text():
                return writer.save_text(
                    self._home, event.text, self._build_recipe(event.notes), title=event.title, name=event.name
                )
            case api.Trained():
                if self._run.checkpoint_dir:
                    record = training_record.TrainingRecord(Path(self._run.checkpoint_dir) / training_record.FOLDER)
                    record.copy_to(Path(event.folder) / training_record.MODEL_FOLDER)
                recipe = self._build_recipe(event.notes)
                if event.is_derived:
                    sources = [(self._name_model(one.name), one.sha256, one.licence) for one in recipe.models]
                    api.model_card.add_sources(Path(event.folder), sources)
                numbers = recipe.notes.get("numbers")
                api.model_card.add_parameters(
                    Path(event.folder),
                    self._schema,
                    self._name_models(recipe.params),
                    numbers if isinstance(numbers, dict) else None,
                )
                return writer.save_model(
                    self._home,
                    Path(event.folder),
                    recipe,
                    title=event.title,
                    kind=event.kind,
                    licences=[model.licence for model in recipe.models] if event.is_derived else [],
                    private=self._list_private_paths(),
                )
            case _:
                raise AssertionError(f"{event} is no result")

    def _name_models(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters with the names of trained models in place of their ids."""
        named = dict(params)
        for field in params_schema.read_fields(self._schema):
            value = named.get(field.name)
            if field.widget is Widget.MODEL and isinstance(value, str):
                named[field.name] = self._name_model(value)
            elif field.widget is Widget.MODEL and isinstance(value, list):
                named[field.name] = [self._name_model(str(one)) for one in value]
        return named

    def _name_model(self, choice: str) -> str:
        """Return the name of a trained model in place of its id, and any other choice as it is."""
        if not re.fullmatch("[0-9a-f]{64}", choice):
            return choice
        path = offers.resolve_model(self._home, choice)
        return model_names.read_name(path) if path else choice[:10]

    def _choose_format(self, formats: tuple[str, ...], default: str) -> str:
        """Return the format of the job, where it fits the kind of result."""
        wanted = self._run.format.lower().lstrip(".")
        return wanted if wanted in formats else default

    def _iterate_frames(self, event: api.Animation) -> Iterator[api.Picture | api.Frame]:
        """Yield the frames as they come, and show progress unless the tool does so itself."""
        total = len(event.frames) if isinstance(event.frames, Sized) else 0
        events_before = self._progress_events
        for number, frame in enumerate(event.frames, 1):
            self._check_cancelled()
            yield frame
            if self._progress_events == events_before:
                left = self._time_left.estimate(number, total, time.monotonic())
                self._outbox.offer(JobProgress(self._run.job, number, total, f"Frame {number}", left))
            self._offer_preview(api.Preview(api.animations.image_of(frame)))


class TimeLeft:
    """Estimates the remaining seconds of a job from the median duration of its latest steps."""

    def __init__(self) -> None:
        self._total = 0.0
        self._start_time = self._last_time = 0.0
        self._last_step: float | None = None
        self._durations: deque[float] = deque(maxlen=15)

    def estimate(self, step: float, total: float, now: float) -> float:
        """Return the seconds left; -1 until three steps and one second have passed, or where the end is not known."""
        if self._last_step is None or step < self._last_step or total != self._total:
            self._total, self._last_step, self._start_time, self._last_time = total, step, now, now
            self._durations.clear()
        elif step > self._last_step:
            self._durations.append((now - self._last_time) / (step - self._last_step))
            self._last_step, self._last_time = step, now
        if total <= 0 or len(self._durations) < 3 or now - self._start_time < 1:
            return -1.0
        return max(0.0, statistics.median(self._durations) * (total - step))
