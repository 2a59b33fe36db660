"""Captions training images by a tool, which runs as a draft: it saves nothing, and its captions are proposals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from studio.core.descriptor import ToolDescriptor
from studio.core.errors import StudioError
from studio.core.messages import ImageCaptioned, JobNotice, JobProgress
from studio.core.recipe import Recipe
from studio.engine.interface import Engine
from studio.state.form.job_request import JobRequest
from studio.state.jobs.submission import JobSubmitter


class Captioning(QObject):
    """One run at a time, with one draft after the other for each folder."""

    progressed = Signal(str, int, int)
    """What happens, and how many of how many images are done."""
    captioned = Signal(Path, str)
    ended = Signal(str)
    """The run is over. The sentence says what went wrong, if anything."""

    def __init__(self, engine: Engine, submitter: JobSubmitter, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine, self._submitter = engine, submitter
        self.is_running = False
        self._requests: list[JobRequest] = []
        """One for each folder that is to come."""
        self._waiting: JobRequest | None = None
        """The one that is not with the engine yet."""
        self._draft = ""
        self._size = self._done = self._total = 0
        """Images of the draft, those of earlier drafts, and all."""
        self._sentence = ""

    def start(self, tool: ToolDescriptor, model: str, trigger: str, images: Mapping[Path, Sequence[str]]) -> None:
        """Caption images, given by folder and name."""
        self.cancel()
        self._requests = [
            JobRequest(tool, {"folder": str(folder), "names": list(names), "model": model, "trigger": trigger})
            for folder, names in images.items()
        ]
        self.is_running = True
        self._done, self._total, self._sentence = 0, sum(map(len, images.values())), ""
        self.progressed.emit("Waiting for the worker", 0, self._total)
        self._start_next()

    def cancel(self) -> None:
        if not self.is_running:
            return
        if self._draft:
            self._engine.cancel(self._draft)
        self._end("")

    def _start_next(self) -> None:
        if not self._requests:
            self._end(self._sentence)
            return
        request = self._waiting = self._requests.pop(0)

        def begin(recipe: Recipe) -> None:
            if self._waiting is request:
                self._waiting, self._size = None, len(request.values["names"])
                self._draft = self._engine.draft(recipe)

        def refuse(error: StudioError) -> None:
            if self._waiting is request:
                self._end(str(error))

        self._submitter.prepare(request, begin, refuse)

    def _end(self, sentence: str) -> None:
        self._requests.clear()
        self._waiting, self._draft, self.is_running = None, "", False
        self.ended.emit(sentence)

    # Events of the engine
    def on_progress(self, event: JobProgress) -> None:
        if self._draft and event.job == self._draft:
            self.progressed.emit(event.text, self._done + int(event.step), self._total)

    def on_captioned(self, event: ImageCaptioned) -> None:
        if self._draft and event.job == self._draft:
            self.captioned.emit(Path(event.path), event.text)

    def on_notice(self, event: JobNotice) -> None:
        if self._draft and event.job == self._draft:
            self._sentence = event.text

    def on_forgotten(self, ids: Sequence[str]) -> None:
        """Go on with the next folder when a draft has ended, in whatever way."""
        if self._draft and self._draft in ids:
            self._draft = ""
            self._done += self._size
            self._start_next()
