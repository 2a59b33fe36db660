"""Tools on the selected words of the page: one says them otherwise, one offers words for a gap."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import msgspec
from PySide6.QtCore import QObject, Signal

from studio.core.descriptor import ToolDescriptor
from studio.core.job import Job
from studio.core.page.plain_text import to_plain_text, trim_selection
from studio.engine.interface import Created
from studio.state.form.workspace import SEEDS, Workspace
from studio.state.jobs.submission import JobSubmitter
from studio.state.notices import Notices
from studio.state.page.page import Page

REPLACE, OFFER = "replace", "offer"
TEXT, GAP, WORDS = "text", "___", "words"
"""The parameter that takes words, what stands for the gap in them, and the note that has what is offered."""
AROUND = 2000
"""Characters on either side of a gap; more than such models read."""
_JOINING = "'’-"


@dataclass(frozen=True)
class Gap:
    """Where a word is looked for, and what stands there."""

    start: int
    end: int
    here: str


class SelectionTools(QObject):
    looking = Signal(object)
    """Words are looked for, for a `Gap`."""
    offered = Signal(object)
    """Words that were found, as [(word, probability), …]; none where nothing was."""

    def __init__(
        self, page: Page, asking: JobSubmitter, workspace: Workspace, notices: Notices, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._page, self._asking, self._workspace, self._notices = page, asking, workspace, notices
        self._gap: Gap | None = None
        self._job = ""

    def tool(self, kind: str) -> ToolDescriptor | None:
        return next((tool for tool in self._workspace.catalogue.tools.values() if tool.selection == kind), None)

    # Saying them otherwise
    def rewrite(self, start: int, end: int) -> None:
        """The words between two places; without any, the paragraph around them. As the tool's own form stands."""
        book = self._page.book
        start, end = trim_selection(book.text, start, end)
        if start == end:
            self._notices.info("Select the words to rewrite, or put the cursor into a paragraph.")
        else:
            book.end_step()
            self._rewrite(book.current, start, end)

    def again(self, place: int) -> bool:
        """What was rewritten at a place once more, or other words for one that was found; False where neither was."""
        book = self._page.book
        one = book.find_generation(place)
        node = None if one is None else book.nodes[one]
        if node is None or not node.removed:
            return False
        if node.job:
            self._rewrite(node.parent, node.at, node.at + node.removed)
        else:
            end = book.end_of(node.id)
            self.find_word(*((place, place) if end is None else (end - len(node.text.strip()), end)))
        return True

    def _rewrite(self, node: int, start: int, end: int) -> None:
        tool, book = self.tool(REPLACE), self._page.book
        since = book.current
        if tool is None:
            self._notices.info("No installed tool rewrites text.")
            return

        def submitted(job: Job) -> None:
            if book is self._page.book:
                self._page.begin_instead(job.id, node, start, end - start, since)
            else:
                self._asking.cancel(job.id)

        values = self._values(tool, book.text_of(node)[start:end])
        self._asking.submit(tool, values, secrets.randbelow(SEEDS), submitted, lambda: None)

    # Words for a gap
    def find_word(self, start: int, end: int) -> None:
        """For what is selected, the word around the cursor, or the gap at it."""
        tool, text = self.tool(OFFER), self._page.text
        if tool is None:
            self._notices.info("No installed tool suggests words.")
            return
        if not text.strip():
            self._notices.info("Write a sentence first, and put the cursor where a word is missing.")
            return
        self.stop_looking()
        start, end = word_around(text, start, end) if start == end else inside(text, start, end)
        gap = self._gap = Gap(start, end, text[start:end])
        before, after = text[max(0, start - AROUND) : start], text[end : end + AROUND]
        values = self._values(tool, before.rpartition(GAP)[2] + GAP + after)

        def submitted(job: Job) -> None:
            if self._gap is gap:
                self._job = job.id
            else:
                self._asking.cancel(job.id)

        self.looking.emit(gap)
        self._asking.submit(tool, values, 0, submitted, self._found_nothing)

    def stop_looking(self) -> None:
        """Nothing is wanted any more."""
        job, self._job, self._gap = self._job, "", None
        if job:
            self._asking.cancel(job)

    def use(self, word: str) -> None:
        """Puts a word that was offered where it was looked for."""
        gap, self._gap = self._gap, None
        text = self._page.text
        if gap is None or text[gap.start : gap.end] != gap.here:
            return
        if text[gap.start - 1 : gap.start].isalnum():
            word = f" {word}"
        if text[gap.end : gap.end + 1].isalnum():
            word = f"{word} "
        self._page.put(gap.start, gap.end - gap.start, word)

    def take(self, event: Created) -> bool:
        """Words that were looked for here; False for what belongs elsewhere."""
        if not self._job or event.job != self._job:
            return False
        self._job = ""
        recipe = event.creation.recipe
        self.offered.emit(_words(recipe.notes if recipe else {}))
        return True

    def job_changed(self, job: Job) -> None:
        """One that failed or was stopped offers nothing."""
        if self._job and job.id == self._job and job.state.ended and not job.outputs:
            self._job = ""
            self._found_nothing()

    def _found_nothing(self) -> None:
        self._gap = None
        self.offered.emit([])

    def _values(self, tool: ToolDescriptor, text: str) -> dict[str, Any]:
        return {**self._workspace.draft.values.get(tool.id, {}), TEXT: text}


def word_around(text: str, start: int, end: int) -> tuple[int, int]:
    """The gap or the word at a place; the place itself between words."""
    for at in range(max(0, start - len(GAP)), start + 1):
        if text.startswith(GAP, at):
            return at, at + len(GAP)
    while start > 0 and _inside(text[start - 1]):
        start -= 1
    while end < len(text) and _inside(text[end]):
        end += 1
    return start, end


def inside(text: str, start: int, end: int) -> tuple[int, int]:
    """Without the white space at both ends; all of it where it is nothing else."""
    words = text[start:end].strip()
    if not words:
        return start, end
    start = text.index(words, start)
    return start, start + len(words)


def _inside(letter: str) -> bool:
    return letter.isalnum() or letter in _JOINING


def _words(notes: dict[str, Any]) -> list[tuple[str, float]]:
    """Whole words only: signs, and what a model would glue to the word before, are left out."""
    try:
        told = msgspec.convert(notes.get(WORDS, []), list[tuple[str, float]])
    except msgspec.ValidationError:
        return []
    found = ((to_plain_text(word).strip(), share) for word, share in told)
    return [(word, share) for word, share in found if any(map(str.isalnum, word)) and not word.startswith("##")]
