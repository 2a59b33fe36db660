"""The page on the canvas: its text, its branches, and its file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, QTimer, Signal

from studio.core.errors import StudioError
from studio.core.page.edits import AmendNode, Author, Edit, InsertionPoint
from studio.core.page.plain_text import find_difference, to_plain_text
from studio.core.page.revisions import AuthorRun, RevisionTree, SearchHit
from studio.library.pages.store import PageFile, PageInfo, PageStore
from studio.state.form.workspace import Workspace
from studio.state.notices import Notices
from studio.state.page.page_jobs import PageJobs, page_field, timestamp
from studio.state.tasks import Tasks

SAVE_MS = 250
"""Milliseconds after a change until the page is saved."""
RETRY_MS = 5000
UNDO_PAUSE = 1.5
"""Seconds without a key after which typing is a new step for Undo."""


class Page(QObject):
    """The text of the open page, as a view shows it. Positions are code points."""

    opened = Signal()
    """Another page is open."""
    changed = Signal()
    """The text, the branches or the running jobs have changed."""
    saved = Signal()
    cursor_moved = Signal(int)
    """The cursor position after a step that the view did not make."""
    stop_requested = Signal(str)
    """The id of a job that should stop writing."""

    def __init__(
        self, store: PageStore, workspace: Workspace, notices: Notices, tasks: Tasks, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._store, self._workspace, self._notices, self._tasks = store, workspace, notices, tasks
        self._file: PageFile = store.create()
        self.tree = RevisionTree()
        self.is_ready = False
        self.cursor = 0
        self.jobs = PageJobs(self, workspace, tasks)
        self._unsaved: list[Edit] = []
        self._save_failed = False
        self._write_time = 0.0
        self._closed = False
        self._timer = QTimer(self, interval=SAVE_MS, singleShot=True)
        self._timer.timeout.connect(self._save)

    # Text and branches
    @property
    def text(self) -> str:
        return self.tree.text

    @property
    def runs(self) -> list[AuthorRun]:
        return self.tree.get_runs()

    @property
    def alternatives(self) -> tuple[int, int]:
        """Number of the passage at the cursor and of its alternatives; (0, 0) where no model wrote."""
        generation = self.tree.find_generation(self.cursor)
        if generation is None:
            return 0, 0
        siblings = self.tree.siblings_of(generation)
        return siblings.index(generation) + 1, len(siblings)

    def find_insertion_point(self) -> InsertionPoint | None:
        """Return where a job is to write at the cursor, or where the passage before the cursor was inserted."""
        for point in self.tree.requests.values():
            if point.node == self.tree.current and point.at <= self.cursor <= point.at + point.removed:
                return point
        generation = self.tree.find_generation(self.cursor)
        return None if generation is None else self.tree.insertion_point_of(generation)

    @property
    def has_alternatives(self) -> bool:
        """Whether there are alternatives to the passage at the cursor, or will be."""
        point = self.find_insertion_point()
        if point is None:
            return False
        return len(self.tree.find_generations(point)) + len(self.tree.find_waiting_jobs(point)) > 1

    def search(self, words: str) -> list[SearchHit]:
        return self.tree.search(words)

    # The tool in the form
    @property
    def has_writing_tool(self) -> bool:
        """Whether the tool in the form writes on the page."""
        return page_field(self._workspace.tool) is not None

    @property
    def has_tool(self) -> bool:
        """Whether the tool in the form writes on the page, or changes text that is selected on it."""
        tool = self._workspace.tool
        return self.has_writing_tool or (tool is not None and bool(tool.selection and self.text.strip()))

    @property
    def tool_help(self) -> str:
        """The help text of the tool's parameter for the page's text."""
        field = page_field(self._workspace.tool)
        return field.help if field else ""

    def choose_tool(self) -> None:
        """Choose a tool that writes on the page, unless the form has one."""
        tools = self._workspace.catalogue.tools.values()
        if not self.has_writing_tool and (tool := next((tool for tool in tools if page_field(tool)), None)):
            self._workspace.choose(tool.id)

    # Edits by hand
    def write(self, at: int, removed: int, text: str) -> None:
        """Apply an edit of the view. A job that writes at the same place is stopped."""
        if not removed and not text:
            return
        self._stop_streaming()
        now = time.monotonic()
        if now - self._write_time > UNDO_PAUSE:
            self.tree.end_step()
        self._write_time = now
        self.store(self.tree.write(at, removed, text, created=timestamp()))

    def replace(self, changes: Sequence[tuple[int, int, str]]) -> None:
        """Apply several edits as one step for Undo."""
        plain = [(at, removed, to_plain_text(text)) for at, removed, text in changes]
        self.store(self.tree.write_many(plain, created=timestamp()))

    def undo(self) -> None:
        self._stop_streaming()
        self._change(self.tree.undo)

    def redo(self) -> None:
        self._stop_streaming()
        self._change(self.tree.redo)

    def step_alternative(self, by: int) -> None:
        """Show the next alternative of the passage at the cursor, or the previous one; after the last, the first."""
        generation = self.tree.find_generation(self.cursor)
        if generation is None:
            return
        siblings = self.tree.siblings_of(generation)
        chosen = siblings[(siblings.index(generation) + by) % len(siblings)]
        if chosen != generation:
            self.show_passage(chosen)

    def show_passage(self, passage: int) -> None:
        """Show an alternative with everything that was written after it."""
        self.go_to(self.tree.find_leaf(passage), cursor_after=passage)

    def go_to(self, node: int, cursor_after: int | None = None) -> None:
        """Show a branch, with the cursor after the text of a node. A job continues on the branch that is left."""
        self._change(lambda: self.tree.go_to(node), cursor_after)

    def add_branch(self, node: int, position: int, text: str) -> None:
        """Replace the end of a passage from `position` on by other words, as a new branch."""
        self._stop_streaming()
        self.store(self.tree.add_branch(node, position, text, created=timestamp()))
        self.move_cursor(position + len(text))

    def insert_generated(self, at: int, removed: int, text: str) -> None:
        """Replace words by words of a model, and put the cursor after them."""
        self._stop_streaming()
        self.tree.end_step()
        self.store(self.tree.write(at, removed, text, author=Author.MACHINE, created=timestamp()))
        self.move_cursor(at + len(text))

    def _stop_streaming(self) -> None:
        if job := self.jobs.streaming:
            self.stop_requested.emit(job)

    def _change(self, edit: Callable[[], list[Edit]], cursor_after: int | None = None) -> None:
        before = self.text
        self.store(edit())
        cursor = self.tree.end_of(cursor_after) if cursor_after is not None else None
        self.move_cursor(_end_of_change(before, self.text) if cursor is None else cursor)

    # The cursor
    def move_cursor(self, position: int) -> None:
        """Move the cursor of the view."""
        self.cursor = position
        self.cursor_moved.emit(position)
        self.changed.emit()

    def set_cursor(self, position: int) -> None:
        """Note where the view has put the cursor."""
        if position != self.cursor:
            self.cursor = position
            self.changed.emit()

    # Pages
    def open_last(self) -> None:
        """Open the page that was open last."""

        def load() -> tuple[PageFile, RevisionTree]:
            file = self._store.find_newest() or self._store.create()
            return file, file.load()

        self._tasks.run(load, self._show, self._show_new_page)

    def new_page(self) -> None:
        self._finish_file()
        self._show((self._store.create(), RevisionTree()))

    def begin(self, text: str) -> None:
        """Begin a page with a text: the open one if it is empty, or else a new one."""
        if self.text.strip():
            self.new_page()
        self.write(0, len(self.text), text)
        self.move_cursor(len(text))

    def open_page(self, id: str) -> None:
        if id == self.page_id:
            return
        self._finish_file()

        def load() -> tuple[PageFile, RevisionTree]:
            file = self._store.get(id)
            tree = file.load()
            file.touch()
            return file, tree

        self._tasks.run(load, self._show)

    def list_pages(self, then: Callable[[list[PageInfo]], None]) -> None:
        """Read the list of all pages, the newest first; the open one is `page_id`."""
        self._save()
        self._tasks.run(self._store.list_pages, then)

    @property
    def page_id(self) -> str:
        return self._file.id

    def close(self) -> None:
        """Save what is unsaved. Later edits are ignored."""
        self._finish_file()
        self._closed = True

    def _show(self, loaded: tuple[PageFile, RevisionTree]) -> None:
        self._timer.stop()
        self._save()  # edits of the page before, made while this one was read
        self._save_failed = False
        self._file, self.tree = loaded
        self.is_ready = True
        self.jobs.clear()
        self.cursor = len(self.text)
        self.opened.emit()
        self.cursor_moved.emit(self.cursor)
        self.changed.emit()

    def _show_new_page(self, error: StudioError) -> None:
        """Open a new page in place of one that cannot be read, whose file stays as it is."""
        self._notices.error(str(error))
        self._show((self._store.create(), RevisionTree()))

    def _finish_file(self) -> None:
        """Save the page and replace its journal by a snapshot."""
        self._timer.stop()
        self._save()
        file, stored = self._file, self.tree.to_stored()

        def compact() -> None:
            if file.has_journal:
                file.snapshot(stored)

        if self.is_ready and stored.nodes:
            self._tasks.run(compact)

    # Saving
    def store(self, edits: list[Edit]) -> None:
        """Save edits of `tree` soon."""
        if edits and not self._closed:
            for edit in edits:
                self._add_unsaved(edit)
            if not self._timer.isActive():
                self._timer.start(SAVE_MS)
            self.changed.emit()

    def _add_unsaved(self, edit: Edit) -> None:
        """Add an edit, merged with the last one of the same node: a line for each save, not for each key."""
        last = self._unsaved[-1] if self._unsaved else None
        if (
            isinstance(last, AmendNode)
            and isinstance(edit, AmendNode)
            and last.id == edit.id
            and edit.keep >= last.keep
        ):
            text = last.text[: edit.keep - last.keep] + edit.text
            self._unsaved[-1] = AmendNode(edit.id, edit.at, edit.removed, last.keep, text)
        else:
            self._unsaved.append(edit)

    def _save(self) -> None:
        if not self._unsaved and not self._save_failed:
            return
        file, edits, self._unsaved, self._save_failed = self._file, self._unsaved, [], False
        stored = self.tree.to_stored() if file.is_long else None

        def save() -> None:
            file.append(edits)
            if stored is not None:
                file.snapshot(stored)

        def retry_later(error: StudioError) -> None:
            self._notices.error(str(error))
            if file is self._file and not self._closed:
                self._save_failed = True
                self._timer.start(RETRY_MS)

        self._tasks.run(save, lambda _: self.saved.emit(), retry_later)


def _end_of_change(old: str, new: str) -> int:
    at, _, text = find_difference(old, new)
    return at + len(text)
