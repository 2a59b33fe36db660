"""The page on the canvas: what is written on it, what a job is writing, and its file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.core.errors import StudioError
from studio.core.job import Job, JobState
from studio.core.messages import PreviewFrame
from studio.core.page.edits import ROOT, AmendNode, Author, Edit, InsertionPoint
from studio.core.page.plain_text import find_difference, to_plain_text
from studio.core.page.revisions import AuthorRun, RevisionTree, SearchHit
from studio.core.params_schema import read_fields
from studio.engine.interface import Created
from studio.library.creation import Creation
from studio.library.formats import markdown
from studio.library.pages.store import PageFile, PageInfo, PageStore
from studio.state.form.workspace import Workspace
from studio.state.notices import Notices
from studio.state.tasks import Tasks

SAVE_MS = 250
"""What was written is on the disk this long after it, and the time that the disk takes."""
RETRY_MS = 5000
LONGEST = 1_000_000
"""Characters before the cursor that a tool is given."""
PAUSE = 1.5
"""Seconds without a key after which typing is a new step for Undo."""


def page_field(tool: ToolDescriptor | None) -> str:
    """The parameter that takes the page's words; empty for a tool that does not write on the page."""
    field = _page_field(tool)
    return field.name if field else ""


def _page_field(tool: ToolDescriptor | None) -> Field | None:
    if tool is None or tool.output != "text":
        return None
    return next((field for field in read_fields(tool.schema) if field.widget is Widget.PAGE), None)


@dataclass(frozen=True)
class Passage:
    """One of the alternatives at a place; `node` is None while nothing of it is written."""

    node: int | None
    runs: Sequence[AuthorRun] = ()
    is_here: bool = False
    is_streaming: bool = False


class Page(QObject):
    """Places are code points. A view tells what was typed and where the cursor stands, and shows `text`."""

    opened = Signal()
    """Another page: nothing of the one before is on it."""
    changed = Signal()
    """Its text, its branches, or what is being written."""
    saved = Signal()
    cursor_moved = Signal(int)
    """Where the cursor belongs after a step that the view did not make."""
    stop_asked = Signal(str)
    """A job that should write no further."""

    def __init__(
        self, store: PageStore, workspace: Workspace, notices: Notices, tasks: Tasks, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._store, self._workspace, self._notices, self._tasks = store, workspace, notices, tasks
        self._file: PageFile = store.create()
        self.book = RevisionTree()
        self.ready = False
        self.cursor = 0
        self._unsaved: list[Edit] = []
        self._failed = False
        """Whether the file holds back what could not be written."""
        self._asked_on = self.book
        self._base = (ROOT, 0)
        self._from = ROOT
        self._again: int | None = None
        self._reading: set[str] = set()
        self._running: set[str] = set()
        self._typed = 0.0
        self._closed = False
        self._timer = QTimer(self, interval=SAVE_MS, singleShot=True)
        self._timer.timeout.connect(self._save)

    # What is shown
    @property
    def text(self) -> str:
        return self.book.text

    @property
    def runs(self) -> list[AuthorRun]:
        return self.book.get_runs()

    @property
    def is_writing(self) -> bool:
        """Whether a job of this page runs or waits."""
        return bool(self._running)

    @property
    def jobs(self) -> Sequence[str]:
        """Those that write on this page, or wait to."""
        return tuple(self._running)

    @property
    def streaming(self) -> str:
        """The job that writes at the end of what is shown; empty for none."""
        job = self.book.nodes[self.book.current].job
        return job if job in self._running else ""

    @property
    def alternatives(self) -> tuple[int, int]:
        """Which of how many the passage at the cursor is; (0, 0) where the machine wrote nothing."""
        one = self.book.find_generation(self.cursor)
        if one is None:
            return 0, 0
        alike = self.book.siblings_of(one)
        return alike.index(one) + 1, len(alike)

    @property
    def writes_beside(self) -> bool:
        """Whether a job writes what is not shown."""
        return not self.streaming and any(self.book.find_node_of_job(job) for job in self._running)

    def asked_here(self) -> InsertionPoint | None:
        """Where a job is to write at the cursor, or where the passage before it was asked for; None for neither."""
        book = self.book
        for ask in book.requests.values():
            if ask.node == book.current and ask.at <= self.cursor <= ask.at + ask.removed:
                return ask
        one = book.find_generation(self.cursor)
        return None if one is None else book.insertion_point_of(one)

    @property
    def has_others(self) -> bool:
        """Whether there are alternatives to the passage at the cursor, or will be."""
        ask = self.asked_here()
        return ask is not None and len(self.book.find_generations(ask)) + len(self.book.find_waiting_jobs(ask)) > 1

    def passages(self, ask: InsertionPoint) -> list[Passage]:
        """All alternatives at a place, oldest first, and behind them those that are still to come."""
        book, here = self.book, set(self.book.path_to(self.book.current))
        written = [
            Passage(id, tuple(book.get_passage_runs(id)), id in here, book.nodes[id].job in self._running)
            for id in book.find_generations(ask)
        ]
        return [*written, *(Passage(None) for _ in book.find_waiting_jobs(ask))]

    @property
    def writes(self) -> bool:
        """Whether the tool in the form writes on the page."""
        return bool(page_field(self._workspace.tool))

    @property
    def is_worked_on(self) -> bool:
        """Whether the tool in the form writes on the page, or is for words that are selected on it."""
        tool = self._workspace.tool
        return self.writes or (tool is not None and bool(tool.selection and self.text.strip()))

    @property
    def about(self) -> str:
        """What the tool in the form does with the words of the page, as it says; empty where it says nothing."""
        field = _page_field(self._workspace.tool)
        return field.help if field else ""

    def choose_tool(self) -> None:
        """One that writes on the page, unless the form has one."""
        tools = self._workspace.catalogue.tools.values()
        if not self.writes and (found := next((tool for tool in tools if page_field(tool)), None)):
            self._workspace.choose(found.id)

    # Writing by hand
    def write(self, at: int, removed: int, text: str) -> None:
        """What was typed, pasted or deleted in the view. A job that writes just there is stopped."""
        if not removed and not text:
            return
        if streaming := self.streaming:
            self.stop_asked.emit(streaming)
        now = time.monotonic()
        if now - self._typed > PAUSE:
            self.book.end_step()
        self._typed = now
        self._take(self.book.write(at, removed, text, created=_now()))

    def replace(self, changes: Sequence[tuple[int, int, str]]) -> None:
        """Several places at once: one step for Undo."""
        self._take(
            self.book.write_many([(at, removed, to_plain_text(text)) for at, removed, text in changes], created=_now())
        )

    def undo(self) -> None:
        self._take_back(self.book.undo)

    def redo(self) -> None:
        self._take_back(self.book.redo)

    def _take_back(self, move: Callable[[], list[Edit]]) -> None:
        if streaming := self.streaming:
            self.stop_asked.emit(streaming)
        self._step(move)

    def step(self, by: int) -> None:
        """To the next alternative of the passage at the cursor, or the one before, round the end."""
        one = self.book.find_generation(self.cursor)
        if one is None:
            return
        alike = self.book.siblings_of(one)
        to = alike[(alike.index(one) + by) % len(alike)]
        if to != one:
            self.choose(to)

    def choose(self, passage: int) -> None:
        """One of the alternatives comes onto the page, as far as it was written on."""
        self.go(self.book.find_leaf(passage), at=passage)

    def go(self, node: int, at: int | None = None) -> None:
        """To any branch; the cursor behind what `at` wrote. A job writes on at the one that is left."""
        self._step(lambda: self.book.go_to(node), at)

    def _step(self, move: Callable[[], list[Edit]], at: int | None = None) -> None:
        before = self.text
        if moves := move():
            self._take(moves)
        cursor = self.book.end_of(at) if at is not None else None
        self._put_cursor(_place_of_change(before, self.text) if cursor is None else cursor)

    def _put_cursor(self, at: int) -> None:
        self.cursor = at
        self.cursor_moved.emit(at)
        self.changed.emit()

    def set_cursor(self, at: int) -> None:
        if at != self.cursor:
            self.cursor = at
            self.changed.emit()

    def search(self, words: str) -> list[SearchHit]:
        return self.book.search(words)

    def branch(self, node: int, place: int, text: str) -> None:
        """What a model wrote ends at `place` with other words; the cursor stands behind them."""
        if streaming := self.streaming:
            self.stop_asked.emit(streaming)
        self._take(self.book.add_branch(node, place, text, created=_now()))
        self._put_cursor(place + len(text))

    def put(self, at: int, removed: int, text: str) -> None:
        """Words of a model that somebody chose take the place of others; the cursor stands behind them."""
        if streaming := self.streaming:
            self.stop_asked.emit(streaming)
        self.book.end_step()
        self._take(self.book.write(at, removed, text, author=Author.MACHINE, created=_now()))
        self._put_cursor(at + len(text))

    # Written by a job
    def again(self) -> bool:
        """The next Generate writes the passage at the cursor once more. False where there is none."""
        one = self.book.find_generation(self.cursor)
        self._again = None if one is None or self.book.nodes[one].removed else one
        return self._again is not None

    def give(self) -> None:
        """Puts the words before the cursor into the form: Generate is about to read it."""
        again, self._again = self._again, None
        name = page_field(self._workspace.tool)
        if not name:
            return
        self._asked_on, self._from = self.book, self.book.current
        if again is not None:
            one = self.book.nodes[again]
            self._base = (one.parent, one.at)
        else:
            self.book.end_step()
            self._base = (self.book.current, min(self.cursor, len(self.text)))
        self._workspace.set_value(name, self._given(*self._base))

    def given(self) -> dict[str, str]:
        """What Generate would give to the tool in the form."""
        name = page_field(self._workspace.tool)
        if not name or not self.ready:
            return {}
        return {name: self._given(self.book.current, min(self.cursor, len(self.text)))}

    def _given(self, node: int, at: int) -> str:
        return self.book.text_of(node)[:at][-LONGEST:]

    def begin(self, jobs: Sequence[Job]) -> bool:
        """Takes jobs that were begun from the page; False for others."""
        tool = self._workspace.catalogue.tools.get(jobs[0].recipe.tool) if jobs else None
        name = page_field(tool)
        node, at = self._base
        if not name or not self.ready or self._asked_on is not self.book:
            return False
        if jobs[0].recipe.params.get(name, "") != self._given(node, at):
            return False
        moves = self.book.go_to(node) if self.book.current == self._from else []
        for job in jobs:
            self._running.add(job.id)
            moves += self.book.request_text(job.id, node, at)
        self._take(moves)
        if self.book.current == node:
            self._put_cursor(at)
        return True

    def begin_instead(self, job: str, node: int, at: int, removed: int, since: int) -> None:
        """A job writes in the place of words; they are shown again unless the page has left `since`."""
        self._running.add(job)
        back = self.book.go_to(node) if self.book.current == since else []
        self._take(back + self.book.request_text(job, node, at, removed))
        if back:
            self._put_cursor(at + removed)

    def owns(self, job: str) -> bool:
        return job in self.book.requests or job in self._running

    def preview(self, event: PreviewFrame) -> None:
        """What a job of this page has written so far."""
        if event.text is not None:
            self._running.add(event.job)
            self._answer(event.job, event.text)

    def take(self, event: Created) -> bool:
        """The finished text of a job of this page; False for what belongs elsewhere."""
        if event.job not in self.book.requests:
            return False
        self._read(event.job, event.creation)
        return True

    def job_changed(self, job: Job) -> None:
        if job.id not in self.book.requests:
            return
        if not job.state.ended:
            self._running.add(job.id)
        else:
            self._running.discard(job.id)
            if job.state is not JobState.DONE or (not job.outputs and job.id not in self._reading):
                self._take(self.book.finish_request(job.id))
        self.changed.emit()

    def collect(self, jobs: Sequence[Job], rows: Callable[[Sequence[str]], list[Creation]]) -> None:
        """What became of jobs that wrote for this page when it was closed."""
        known = {job.id: job for job in jobs}
        for id in list(self.book.requests):
            job = known.get(id)
            if job is not None and not job.state.ended:
                self._running.add(id)
            elif job is not None and job.outputs:
                outputs = job.outputs
                self._tasks.run(lambda outputs=outputs: rows(outputs), lambda found, id=id: self._found(id, found))  # type: ignore[misc]
            else:
                self._take(self.book.finish_request(id))
        self.changed.emit()

    def _found(self, job: str, creations: Sequence[Creation]) -> None:
        if creations:
            self._read(job, creations[0])
        else:
            self._take(self.book.finish_request(job))

    def _answer(self, job: str, whole: str) -> None:
        ask = self.book.requests.get(job)
        if ask is None:
            return
        text = (
            to_plain_text(whole).strip()
            if ask.removed
            else to_plain_text(whole).removeprefix(self._given(ask.node, ask.at))
        )
        follows = self.cursor == self._end_of_job(job, ask.at)
        if ask.removed and self.book.find_node_of_job(job) is None:
            follows = ask.at <= self.cursor <= ask.at + ask.removed
        if text and (moves := self.book.set_generated_text(job, text, created=_now())):
            self._take(moves)
            written = self.book.find_node_of_job(job)
            if follows and written is not None and written.id == self.book.current:
                self._put_cursor(written.at + len(written.text))

    def _end_of_job(self, job: str, at: int) -> int:
        written = self.book.find_node_of_job(job)
        return at if written is None else written.at + len(written.text)

    def _read(self, job: str, creation: Creation) -> None:
        book = self.book
        self._reading.add(job)

        def done(text: str) -> None:
            self._reading.discard(job)
            self._running.discard(job)
            if self.book is book:
                self._answer(job, text)
                self._take(self.book.finish_request(job, creation.id))

        def failed(_: Exception) -> None:
            """What was streamed stays."""
            done("")

        self._tasks.run(lambda: _body(creation), done, failed)

    # Pages
    def start(self) -> None:
        """Reads the page that was open last, off this thread."""

        def load() -> tuple[PageFile, RevisionTree]:
            file = self._store.find_newest() or self._store.create()
            return file, file.load()

        self._tasks.run(load, self._opened, self._not_opened)

    def new_page(self) -> None:
        self._leave()
        self._opened((self._store.create(), RevisionTree()))

    def open_page(self, id: str) -> None:
        if id == self.page_id:
            return
        self._leave()

        def load() -> tuple[PageFile, RevisionTree]:
            file = self._store.get(id)
            book = file.load()
            file.touch()
            return file, book

        self._tasks.run(load, self._opened)

    def pages(self, then: Callable[[list[PageInfo]], None]) -> None:
        """All pages, newest first; the one that is open is `page_id`."""
        self._save()
        self._tasks.run(self._store.list_pages, then)

    @property
    def page_id(self) -> str:
        return self._file.id

    def close(self) -> None:
        """Gives what is unsaved to the work that is still to be done. Nothing comes to the page any more."""
        self._leave()
        self._closed = True

    def _opened(self, result: tuple[PageFile, RevisionTree]) -> None:
        self._timer.stop()
        self._save()  # what came to the page before while this one was read
        self._failed = False
        self._file, self.book = result
        self.ready = True
        self._running.clear()
        self.cursor = len(self.text)
        self.opened.emit()
        self.cursor_moved.emit(self.cursor)
        self.changed.emit()

    def _not_opened(self, error: StudioError) -> None:
        """A page that cannot be read is left as it is; a new one takes its place."""
        self._notices.error(str(error))
        self._opened((self._store.create(), RevisionTree()))

    def _leave(self) -> None:
        self._timer.stop()
        self._save()
        file, stored = self._file, self.book.to_stored()

        def shorten() -> None:
            if file.has_journal:
                file.snapshot(stored)

        if self.ready and stored.nodes:
            self._tasks.run(shorten)

    # Saving
    def keep(self, moves: list[Edit]) -> None:
        """Stores what was done to `book`."""
        self._take(moves)

    def _take(self, moves: list[Edit]) -> None:
        if moves and not self._closed:
            for move in moves:
                self._keep(move)
            if not self._timer.isActive():
                self._timer.start(SAVE_MS)
            self.changed.emit()

    def _keep(self, move: Edit) -> None:
        """What amends the same node just after is one move: typing is a line a save, not a line a key."""
        last = self._unsaved[-1] if self._unsaved else None
        if (
            isinstance(last, AmendNode)
            and isinstance(move, AmendNode)
            and last.id == move.id
            and move.keep >= last.keep
        ):
            text = last.text[: move.keep - last.keep] + move.text
            self._unsaved[-1] = AmendNode(move.id, move.at, move.removed, last.keep, text)
        else:
            self._unsaved.append(move)

    def _save(self) -> None:
        if not self._unsaved and not self._failed:
            return
        file, moves, self._unsaved, self._failed = self._file, self._unsaved, [], False
        stored = self.book.to_stored() if file.is_long else None

        def save() -> None:
            file.append(moves)
            if stored is not None:
                file.snapshot(stored)

        def failed(error: StudioError) -> None:
            self._notices.error(str(error))
            if file is self._file and not self._closed:
                self._failed = True
                self._timer.start(RETRY_MS)

        self._tasks.run(save, lambda _: self.saved.emit(), failed)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _body(creation: Creation) -> str:
    try:
        return markdown.read_body(Path(creation.path))
    except OSError as error:
        raise StudioError(f"The text cannot be read: {error.strerror or error}.") from error


def _place_of_change(old: str, new: str) -> int:
    at, _, text = find_difference(old, new)
    return at + len(text)
