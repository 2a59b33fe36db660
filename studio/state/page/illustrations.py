"""Pictures made from words of the page, which stay beside them and are stale once the words change."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace
from PySide6.QtCore import QObject, Signal

from studio.core.descriptor import ToolDescriptor, Widget
from studio.core.job import Job
from studio.core.page.edits import Anchor
from studio.core.page.plain_text import trim_selection
from studio.core.params_schema import read_fields
from studio.core.recipe import SEEDS
from studio.engine.interface import Created
from studio.library.creation import Creation
from studio.state.form.job_request import JobRequest
from studio.state.form.workspace import Workspace
from studio.state.jobs.submission import JobSubmitter
from studio.state.notices import Notices
from studio.state.page.page import Page
from studio.state.tasks import Tasks

if TYPE_CHECKING:
    from studio.library.library import Library

PROMPT = "prompt"
MAX_PROMPT = 2000
"""Characters of a prompt; more than any model reads."""


@dataclass(frozen=True)
class PagePicture:
    """A picture beside its words. `position` is the range of the words; `creation` is None until it is finished."""

    anchor: Anchor
    position: tuple[int, int] | None
    is_stale: bool
    is_busy: bool
    creation: Creation | None


def find_painter(workspace: Workspace) -> ToolDescriptor | None:
    """Return the first tool that makes a picture from a prompt alone."""
    for tool in workspace.catalogue.tools.values():
        if tool.output == "image" and not tool.live:
            known = read_fields(tool.schema)
            if any(field.name == PROMPT and field.widget is Widget.PROMPT for field in known) and not any(
                field.required and field.name != PROMPT for field in known
            ):
                return tool
    return None


class Illustrations(QObject):
    changed = Signal()
    """Pictures came or went, or their words changed."""

    def __init__(
        self,
        page: Page,
        submitter: JobSubmitter,
        library: Library,
        workspace: Workspace,
        notices: Notices,
        tasks: Tasks,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._page, self._submitter, self._library, self._workspace = page, submitter, library, workspace
        self._notices, self._tasks = notices, tasks
        self._creations: dict[str, Creation] = {}
        page.changed.connect(self.changed)
        page.opened.connect(self._read_creations)

    def list_pictures(self) -> list[PagePicture]:
        """Return the pictures of this branch, in the order of their words."""
        tree = self._page.tree
        pictures = []
        for anchor in tree.anchors.values():
            position = tree.position_of(anchor)
            if position is not None:
                stale = tree.text[position[0] : position[1]] != anchor.words
                busy = bool(anchor.job) or not anchor.creation
                pictures.append(PagePicture(anchor, position, stale, busy, self._creations.get(anchor.creation)))
        return sorted(pictures, key=lambda picture: (picture.position, picture.anchor.id))

    @property
    def can_paint(self) -> bool:
        return find_painter(self._workspace) is not None

    def paint(self, start: int, end: int) -> None:
        """Paint the selected words, or the paragraph around the cursor."""
        tree = self._page.tree
        start, end = trim_selection(tree.text, start, end)
        if start == end:
            self._notices.info("Select the words to illustrate, or put the cursor into a paragraph.")
        elif find_painter(self._workspace) is None:
            self._notices.info("No installed tool generates an image from text alone.")
        else:
            self._page.store(tree.add_anchor(start, tree.text[start:end], secrets.randbelow(SEEDS), ""))
            self._begin(tree.anchors[max(tree.anchors)])

    def repaint(self, id: int) -> None:
        """Paint a picture again, from the words as they are now, with the same seed."""
        tree = self._page.tree
        anchor = tree.anchors.get(id)
        position = None if anchor is None else tree.position_of(anchor)
        if anchor is None or position is None or anchor.job:
            return
        tree.end_step()
        words = tree.text[position[0] : position[1]]
        again = replace(anchor, node=tree.current, start=position[0], words=words)
        self._page.store(tree.set_anchor(again))
        self._begin(again)

    def repaint_nearest(self, cursor: int) -> None:
        """Paint again the picture whose words are nearest to the cursor, a stale one first."""
        idle = [picture for picture in self.list_pictures() if not picture.is_busy and picture.position]

        def distance(picture: PagePicture) -> int:
            assert picture.position
            return max(picture.position[0] - cursor, cursor - picture.position[1], 0)

        if idle:
            nearest = min(idle, key=lambda picture: (not picture.is_stale, distance(picture)))
            self.repaint(nearest.anchor.id)
        else:
            self._notices.info("This page has no illustration yet.")

    def remove(self, id: int) -> None:
        """Remove a picture from the page. It stays in the history."""
        self._page.store(self._page.tree.remove_anchor(id))

    def export(self, to: Path) -> None:
        """Export the page in the format that the file name ends in."""
        from studio.library.pages.export import Illustration, export_page  # not needed for the window to open

        runs = self._page.runs
        pictures = [
            Illustration(Path(picture.creation.path), picture.position[1], picture.anchor.words)
            for picture in self.list_pictures()
            if picture.creation is not None and picture.position is not None
        ]
        title = self._page.text.strip().partition("\n")[0][:80] or "A page"
        self._tasks.run(
            lambda: export_page(runs, pictures, title, to), lambda _: self._notices.info(f"Exported to {to.name}.")
        )

    def _begin(self, anchor: Anchor) -> None:
        tool = find_painter(self._workspace)
        if tool is None:
            return
        values = {**self._workspace.draft.values.get(tool.id, {}), PROMPT: " ".join(anchor.words.split())[:MAX_PROMPT]}
        tree = self._page.tree

        def note_job(job: Job) -> None:
            known = tree.anchors.get(anchor.id)
            if tree is self._page.tree and known is not None:
                self._page.store(tree.set_anchor(replace(known, job=job.id)))

        def remove_if_empty() -> None:
            if tree is self._page.tree and not anchor.creation:
                self.remove(anchor.id)

        self._submitter.submit_single(JobRequest(tool, values, anchor.seed), note_job, remove_if_empty)

    # Results
    def take_result(self, event: Created) -> bool:
        """Put a finished picture beside its words. Returns False for results of other jobs."""
        anchor = self._find_anchor(event.job)
        if anchor is None:
            return False
        self._creations[event.creation.id] = event.creation
        self._page.store(self._page.tree.set_anchor(replace(anchor, job="", creation=event.creation.id)))
        return True

    def on_job_changed(self, job: Job) -> None:
        """Keep the picture before if a job failed or was cancelled, or remove the empty place."""
        anchor = self._find_anchor(job.id)
        if anchor is None or not job.state.ended or job.outputs:
            return
        if anchor.creation:
            self._page.store(self._page.tree.set_anchor(replace(anchor, job="")))
        else:
            self.remove(anchor.id)

    def collect(self, jobs: Sequence[Job]) -> None:
        """Take the pictures that were finished while the page was closed, and read the creations of the others."""
        known = {job.id: job for job in jobs}
        tree = self._page.tree
        for anchor in list(tree.anchors.values()):
            job = known.get(anchor.job)
            unfinished = anchor.job or not anchor.creation
            if unfinished and (job is None or job.state.ended):
                creation = job.outputs[0] if job is not None and job.outputs else anchor.creation
                if creation:
                    self._page.store(tree.set_anchor(replace(anchor, job="", creation=creation)))
                else:
                    self.remove(anchor.id)
        self._read_creations()

    def _read_creations(self) -> None:
        ids = {anchor.creation for anchor in self._page.tree.anchors.values()}
        missing = [id for id in ids if id and id not in self._creations]

        def add(creations: Sequence[Creation]) -> None:
            self._creations.update({creation.id: creation for creation in creations})
            self.changed.emit()

        if missing:
            self._tasks.run(lambda: self._library.get_many(missing), add, lambda _: None)
        else:
            self.changed.emit()

    def _find_anchor(self, job: str) -> Anchor | None:
        anchors = self._page.tree.anchors.values()
        return next((anchor for anchor in anchors if job and anchor.job == job), None)
