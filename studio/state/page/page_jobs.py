"""The jobs that write on the page: what they are given, and what becomes of their text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import SignalInstance

from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.core.errors import StudioError
from studio.core.job import Job, JobState
from studio.core.messages import PreviewFrame
from studio.core.page.edits import ROOT, Edit, InsertionPoint
from studio.core.page.plain_text import to_plain_text
from studio.core.page.revisions import AuthorRun, RevisionTree
from studio.core.params_schema import read_fields
from studio.engine.interface import Created
from studio.library.creation import Creation
from studio.library.formats import markdown
from studio.state.form.job_request import JobRequest
from studio.state.form.workspace import Workspace
from studio.state.tasks import Tasks

MAX_CONTEXT = 1_000_000
"""Characters before the cursor that a tool is given."""


def page_field(tool: ToolDescriptor | None) -> Field | None:
    """Return the parameter for the page's text; None for a tool that does not write on the page."""
    if tool is None or tool.output != "text":
        return None
    return next((field for field in read_fields(tool.schema) if field.widget is Widget.PAGE), None)


@dataclass(frozen=True)
class Passage:
    """An alternative at an insertion point; `node` is None until its job has written something."""

    node: int | None
    runs: Sequence[AuthorRun] = ()
    is_current: bool = False
    is_streaming: bool = False


class OpenPage(Protocol):
    """The part of `Page` that its jobs use."""

    tree: RevisionTree
    cursor: int
    is_ready: bool
    changed: SignalInstance

    @property
    def text(self) -> str: ...

    def store(self, edits: list[Edit]) -> None: ...

    def move_cursor(self, position: int) -> None: ...


class PageJobs:
    """The jobs of the open page: which of them run, their requests and their results."""

    def __init__(self, page: OpenPage, workspace: Workspace, tasks: Tasks) -> None:
        self._page, self._workspace, self._tasks = page, workspace, tasks
        self._running: set[str] = set()
        self._reading: set[str] = set()
        self._base_tree = page.tree
        self._base = InsertionPoint(ROOT, 0)
        """The place from which the last request reads, in `_base_tree`."""
        self._base_current = ROOT
        """The node that was shown at the last request."""
        self._again: int | None = None

    def clear(self) -> None:
        """Forget the jobs of the page before."""
        self._running.clear()

    # What runs
    @property
    def is_writing(self) -> bool:
        """Whether a job of this page runs or waits."""
        return bool(self._running)

    @property
    def running(self) -> Sequence[str]:
        """Ids of the jobs that write on this page, or wait to."""
        return tuple(self._running)

    @property
    def streaming(self) -> str:
        """The job that writes at the end of the shown text, or an empty text."""
        job = self._page.tree.nodes[self._page.tree.current].job
        return job if job in self._running else ""

    @property
    def writes_elsewhere(self) -> bool:
        """Whether a job writes on a branch that is not shown."""
        return not self.streaming and any(self._page.tree.find_node_of_job(job) for job in self._running)

    def owns(self, job: str) -> bool:
        return job in self._page.tree.requests or job in self._running

    def list_passages(self, point: InsertionPoint) -> list[Passage]:
        """Return all alternatives at an insertion point, oldest first, and then those that are still to come."""
        tree = self._page.tree
        current_path = set(tree.path_to(tree.current))
        written = [
            Passage(id, tuple(tree.get_passage_runs(id)), id in current_path, tree.nodes[id].job in self._running)
            for id in tree.find_generations(point)
        ]
        return [*written, *(Passage(None) for _ in tree.find_waiting_jobs(point))]

    # Requests
    def write_again_next(self) -> bool:
        """Let the next Generate write the passage at the cursor again. Returns False where there is none."""
        tree = self._page.tree
        generation = tree.find_generation(self._page.cursor)
        self._again = None if generation is None or tree.nodes[generation].removed else generation
        return self._again is not None

    def prepare_request(self, request: JobRequest) -> JobRequest:
        """Add the words before the cursor to a request of a tool that writes on the page."""
        again, self._again = self._again, None
        field = page_field(request.tool)
        if field is None:
            return request
        tree = self._page.tree
        self._base_tree, self._base_current = tree, tree.current
        if again is not None:
            self._base = InsertionPoint(tree.nodes[again].parent, tree.nodes[again].at)
        else:
            tree.end_step()
            self._base = self._cursor_point()
        return replace(request, values={**request.values, field.name: self._context_of(self._base)})

    def current_values(self) -> dict[str, str]:
        """Return the value that Generate would add for the tool in the form."""
        field = page_field(self._workspace.tool)
        return {} if field is None or not self._page.is_ready else {field.name: self._context_of(self._cursor_point())}

    def begin(self, jobs: Sequence[Job]) -> bool:
        """Take jobs of the last prepared request. Returns False for others."""
        tree = self._page.tree
        field = page_field(self._workspace.catalogue.tools.get(jobs[0].recipe.tool)) if jobs else None
        if field is None or not self._page.is_ready or self._base_tree is not tree:
            return False
        if jobs[0].recipe.params.get(field.name, "") != self._context_of(self._base):
            return False
        node, at = self._base.node, self._base.at
        edits = tree.go_to(node) if tree.current == self._base_current else []
        for job in jobs:
            self._running.add(job.id)
            edits += tree.request_text(job.id, node, at)
        self._page.store(edits)
        if tree.current == node:
            self._page.move_cursor(at)
        return True

    def begin_replacing(self, job: str, point: InsertionPoint, shown: int) -> None:
        """Let a job replace words. They are shown again, unless the page no longer shows the node `shown`."""
        tree = self._page.tree
        self._running.add(job)
        edits = tree.go_to(point.node) if tree.current == shown else []
        is_shown = bool(edits)
        self._page.store(edits + tree.request_text(job, point.node, point.at, point.removed))
        if is_shown:
            self._page.move_cursor(point.at + point.removed)

    def _cursor_point(self) -> InsertionPoint:
        return InsertionPoint(self._page.tree.current, min(self._page.cursor, len(self._page.text)))

    def _context_of(self, point: InsertionPoint) -> str:
        return self._page.tree.text_of(point.node)[: point.at][-MAX_CONTEXT:]

    # Results
    def on_preview(self, event: PreviewFrame) -> None:
        """Show the text that a job has written so far."""
        if event.text is not None:
            self._running.add(event.job)
            self._set_text(event.job, event.text)

    def take_result(self, event: Created) -> bool:
        """Read the finished text of a job of this page. Returns False for other jobs."""
        if event.job not in self._page.tree.requests:
            return False
        self._read_result(event.job, event.creation)
        return True

    def on_job_changed(self, job: Job) -> None:
        if job.id not in self._page.tree.requests:
            return
        if not job.state.ended:
            self._running.add(job.id)
        else:
            self._running.discard(job.id)
            if job.state is not JobState.DONE or (not job.outputs and job.id not in self._reading):
                self._finish(job.id)
        self._page.changed.emit()

    def collect(self, jobs: Sequence[Job], get_creations: Callable[[Sequence[str]], list[Creation]]) -> None:
        """Take the results of jobs that wrote for this page while it was closed."""
        known = {job.id: job for job in jobs}
        for id in list(self._page.tree.requests):
            job = known.get(id)
            if job is not None and not job.state.ended:
                self._running.add(id)
            elif job is not None and job.outputs:
                self._tasks.run(partial(get_creations, job.outputs), partial(self._read_first, id))
            else:
                self._finish(id)
        self._page.changed.emit()

    def _read_first(self, job: str, creations: Sequence[Creation]) -> None:
        if creations:
            self._read_result(job, creations[0])
        else:
            self._finish(job)

    def _read_result(self, job: str, creation: Creation) -> None:
        tree = self._page.tree
        self._reading.add(job)

        def show(text: str) -> None:
            self._reading.discard(job)
            self._running.discard(job)
            if self._page.tree is tree:
                self._set_text(job, text)
                self._finish(job, creation.id)

        # A file that cannot be read leaves the streamed text.
        self._tasks.run(partial(_read_body, creation), show, lambda _: show(""))

    def _finish(self, job: str, creation: str = "") -> None:
        self._page.store(self._page.tree.finish_request(job, creation))

    def _set_text(self, job: str, whole: str) -> None:
        """Put the text of a job onto the page; `whole` begins with the words that it was given."""
        tree, page = self._page.tree, self._page
        point = tree.requests.get(job)
        if point is None:
            return
        plain = to_plain_text(whole)
        text = plain.strip() if point.removed else plain.removeprefix(self._context_of(point))
        node = tree.find_node_of_job(job)
        end = point.at if node is None else node.at + len(node.text)
        follows = page.cursor == end
        if point.removed and node is None:
            follows = point.at <= page.cursor <= point.at + point.removed
        if text and (edits := tree.set_generated_text(job, text, created=timestamp())):
            page.store(edits)
            node = tree.find_node_of_job(job)
            if follows and node is not None and node.id == tree.current:
                page.move_cursor(node.at + len(node.text))


def timestamp() -> str:
    """Return the time of an edit in UTC, as ISO 8601 with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read_body(creation: Creation) -> str:
    try:
        return markdown.read_body(Path(creation.path))
    except OSError as error:
        raise StudioError(f"The text cannot be read: {error.strerror or error}.") from error
