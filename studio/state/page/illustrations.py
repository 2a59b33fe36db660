"""Paint this: words of the page become a picture that stays beside them, and is stale once they change."""

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
from studio.engine.interface import Created
from studio.library.creation import Creation
from studio.state.form.workspace import SEEDS, Workspace
from studio.state.jobs.submission import JobSubmitter
from studio.state.notices import Notices
from studio.state.page.page import Page
from studio.state.tasks import Tasks

if TYPE_CHECKING:
    from studio.library.library import Library

PROMPT = "prompt"
LONGEST = 2000
"""Characters of a prompt; more than any painter reads."""


@dataclass(frozen=True)
class Picture:
    """One beside the words. `creation` is None while it is painted; `place` where its words stand, if they do."""

    anchor: Anchor
    place: tuple[int, int] | None
    stale: bool
    busy: bool
    creation: Creation | None


def painter(workspace: Workspace) -> ToolDescriptor | None:
    """The first tool that makes a picture from a prompt alone."""
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
        asking: JobSubmitter,
        library: Library,
        workspace: Workspace,
        notices: Notices,
        tasks: Tasks,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._page, self._asking, self._library, self._workspace = page, asking, library, workspace
        self._notices, self._tasks = notices, tasks
        self._creations: dict[str, Creation] = {}
        page.changed.connect(self.changed)
        page.opened.connect(self._find)

    def pictures(self) -> list[Picture]:
        """Those of this branch, in the order of their words."""
        book = self._page.book
        found = []
        for anchor in book.anchors.values():
            place = book.position_of(anchor)
            if place is not None:
                stale = book.text[place[0] : place[1]] != anchor.words
                busy = bool(anchor.job) or not anchor.creation
                found.append(Picture(anchor, place, stale, busy, self._creations.get(anchor.creation)))
        return sorted(found, key=lambda one: (one.place, one.anchor.id))

    @property
    def can_paint(self) -> bool:
        return painter(self._workspace) is not None

    def paint(self, start: int, end: int) -> None:
        """The words between two places; without any, the paragraph around them."""
        book = self._page.book
        start, end = trim_selection(book.text, start, end)
        if start == end:
            self._notices.info("Select the words to illustrate, or put the cursor into a paragraph.")
        elif painter(self._workspace) is None:
            self._notices.info("No installed tool generates a picture from text alone.")
        else:
            self._page.keep(book.add_anchor(start, book.text[start:end], secrets.randbelow(SEEDS), ""))
            self._begin(book.anchors[max(book.anchors)])

    def repaint(self, id: int) -> None:
        """With the words as they are now, and the same seed."""
        book = self._page.book
        anchor = book.anchors.get(id)
        place = None if anchor is None else book.position_of(anchor)
        if anchor is None or place is None or anchor.job:
            return
        book.end_step()
        words = book.text[place[0] : place[1]]
        again = replace(anchor, node=book.current, start=place[0], words=words)
        self._page.keep(book.set_anchor(again))
        self._begin(again)

    def repaint_near(self, cursor: int) -> None:
        """The picture whose words the cursor is in or nearest to; of all, a stale one first."""
        found = [one for one in self.pictures() if not one.busy and one.place]

        def far(one: Picture) -> int:
            assert one.place
            return max(one.place[0] - cursor, cursor - one.place[1], 0)

        if found:
            self.repaint(min(found, key=lambda one: (not one.stale, far(one))).anchor.id)
        else:
            self._notices.info("This page has no illustration yet.")

    def remove(self, id: int) -> None:
        """The picture stays in the history."""
        self._page.keep(self._page.book.remove_anchor(id))

    def export(self, to: Path) -> None:
        """Saves the page as a file for others, in the format that its name ends in."""
        from studio.library.pages.export import Illustration, export_page  # not needed for the window to open

        runs = self._page.runs
        pictures = [
            Illustration(Path(one.creation.path), one.place[1], one.anchor.words)
            for one in self.pictures()
            if one.creation is not None and one.place is not None
        ]
        title = self._page.text.strip().partition("\n")[0][:80] or "A page"
        self._tasks.run(
            lambda: export_page(runs, pictures, title, to), lambda _: self._notices.info(f"Exported to {to.name}.")
        )

    def _begin(self, anchor: Anchor) -> None:
        tool = painter(self._workspace)
        if tool is None:
            return
        values = {**self._workspace.draft.values.get(tool.id, {}), PROMPT: " ".join(anchor.words.split())[:LONGEST]}
        book = self._page.book

        def submitted(job: Job) -> None:
            known = book.anchors.get(anchor.id)
            if book is self._page.book and known is not None:
                self._page.keep(book.set_anchor(replace(known, job=job.id)))

        def refused() -> None:
            if book is self._page.book and not anchor.creation:
                self.remove(anchor.id)

        self._asking.submit(tool, values, anchor.seed, submitted, refused)

    # What becomes of it
    def take(self, event: Created) -> bool:
        """A picture that was asked for here; False for what belongs elsewhere."""
        anchor = self._of(event.job)
        if anchor is None:
            return False
        self._creations[event.creation.id] = event.creation
        self._page.keep(self._page.book.set_anchor(replace(anchor, job="", creation=event.creation.id)))
        return True

    def owns(self, job: str) -> bool:
        return self._of(job) is not None

    def job_changed(self, job: Job) -> None:
        """One that failed or was stopped leaves the picture before it, or none."""
        anchor = self._of(job.id)
        if anchor is None or not job.state.ended or job.outputs:
            return
        if anchor.creation:
            self._page.keep(self._page.book.set_anchor(replace(anchor, job="")))
        else:
            self.remove(anchor.id)

    def collect(self, jobs: Sequence[Job]) -> None:
        """What was painted while the page was closed, and the creations of what was painted before."""
        known = {job.id: job for job in jobs}
        book = self._page.book
        for anchor in list(book.anchors.values()):
            job = known.get(anchor.job)
            unfinished = anchor.job or not anchor.creation
            if unfinished and (job is None or job.state.ended):
                made = job.outputs[0] if job is not None and job.outputs else anchor.creation
                moves = (
                    book.set_anchor(replace(anchor, job="", creation=made)) if made else book.remove_anchor(anchor.id)
                )
                self._page.keep(moves)
        self._find()

    def _find(self) -> None:
        wanted = [one.creation for one in self._page.book.anchors.values() if one.creation not in self._creations]

        def found(creations: Sequence[Creation]) -> None:
            self._creations.update({one.id: one for one in creations})
            self.changed.emit()

        if wanted := [id for id in wanted if id]:
            self._tasks.run(lambda: self._library.get_many(wanted), found, lambda _: None)
        else:
            self.changed.emit()

    def _of(self, job: str) -> Anchor | None:
        return next((one for one in self._page.book.anchors.values() if job and one.job == job), None)
