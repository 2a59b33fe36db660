"""Tools for the selected words of the page: one rewrites them, one suggests words for a gap."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from PySide6.QtCore import QObject, Signal

from studio.core.descriptor import ToolDescriptor
from studio.core.job import Job
from studio.core.page.edits import InsertionPoint
from studio.core.page.plain_text import to_plain_text, trim_selection
from studio.core.recipe import SEEDS
from studio.engine.interface import Created
from studio.state.form.job_request import JobRequest
from studio.state.form.workspace import Workspace
from studio.state.jobs.submission import JobSubmitter
from studio.state.notices import Notices
from studio.state.page.page import Page

REPLACE, OFFER = "replace", "offer"
"""Values of `ToolDescriptor.selection`."""
TEXT_PARAMETER, WORDS_NOTE = "text", "words"
"""The parameter that takes the words, and the recipe note with the suggestions."""
GAP_MARK = "___"
GAP_CONTEXT = 2000
"""Characters on either side of a gap; more than such models read."""
_IN_WORD_MARKS = "'’-"


@dataclass(frozen=True)
class Gap:
    """Where a word is searched for, and the text that is there."""

    start: int
    end: int
    text: str


class SelectionTools(QObject):
    search_started = Signal(object)
    """Words are searched for a `Gap`."""
    words_found = Signal(object)
    """The suggestions, as [(word, probability), …]; an empty list where there are none."""

    def __init__(
        self, page: Page, submitter: JobSubmitter, workspace: Workspace, notices: Notices, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._page, self._submitter, self._workspace, self._notices = page, submitter, workspace, notices
        self._gap: Gap | None = None
        self._job = ""

    def find_tool(self, selection: str) -> ToolDescriptor | None:
        tools = self._workspace.catalogue.tools.values()
        return next((tool for tool in tools if tool.selection == selection), None)

    # Rewriting
    def rewrite(self, start: int, end: int) -> None:
        """Rewrite the selected words, or the paragraph around the cursor, with the values of the tool's form."""
        tree = self._page.tree
        start, end = trim_selection(tree.text, start, end)
        if start == end:
            self._notices.info("Select the words to rewrite, or put the cursor into a paragraph.")
        else:
            tree.end_step()
            self._rewrite(InsertionPoint(tree.current, start, end - start))

    def rewrite_again(self, position: int) -> bool:
        """Rewrite a rewritten passage again, or search other words for a found one. Returns False for other text."""
        tree = self._page.tree
        generation = tree.find_generation(position)
        node = None if generation is None else tree.nodes[generation]
        if node is None or not node.removed:
            return False
        if node.job:
            self._rewrite(InsertionPoint(node.parent, node.at, node.removed))
        else:
            end = tree.end_of(node.id)
            self.find_word(*((position, position) if end is None else (end - len(node.text.strip()), end)))
        return True

    def _rewrite(self, point: InsertionPoint) -> None:
        tool, tree = self.find_tool(REPLACE), self._page.tree
        shown = tree.current
        if tool is None:
            self._notices.info("No installed tool rewrites text.")
            return

        def begin(job: Job) -> None:
            if tree is self._page.tree:
                self._page.jobs.begin_replacing(job.id, point, shown)
            else:
                self._submitter.cancel(job.id)

        words = tree.text_of(point.node)[point.at : point.at + point.removed]
        self._submitter.submit_single(self._build_request(tool, words, secrets.randbelow(SEEDS)), begin)

    # Words for a gap
    def find_word(self, start: int, end: int) -> None:
        """Search words for the selection, the word around the cursor, or the gap at it."""
        tool, text = self.find_tool(OFFER), self._page.text
        if tool is None:
            self._notices.info("No installed tool suggests words.")
            return
        if not text.strip():
            self._notices.info("Write a sentence first, and put the cursor where a word is missing.")
            return
        self.stop_search()
        start, end = find_word_around(text, start, end) if start == end else trim_spaces(text, start, end)
        gap = self._gap = Gap(start, end, text[start:end])
        before, after = text[max(0, start - GAP_CONTEXT) : start], text[end : end + GAP_CONTEXT]
        request = self._build_request(tool, before.rpartition(GAP_MARK)[2] + GAP_MARK + after, seed=0)

        def begin(job: Job) -> None:
            if self._gap is gap:
                self._job = job.id
            else:
                self._submitter.cancel(job.id)

        self.search_started.emit(gap)
        self._submitter.submit_single(request, begin, self._end_search)

    def stop_search(self) -> None:
        job, self._job, self._gap = self._job, "", None
        if job:
            self._submitter.cancel(job)

    def use_word(self, word: str) -> None:
        """Put a suggested word into the gap, unless its text has changed."""
        gap, self._gap = self._gap, None
        text = self._page.text
        if gap is None or text[gap.start : gap.end] != gap.text:
            return
        if text[gap.start - 1 : gap.start].isalnum():
            word = f" {word}"
        if text[gap.end : gap.end + 1].isalnum():
            word = f"{word} "
        self._page.insert_generated(gap.start, gap.end - gap.start, word)

    def take_result(self, event: Created) -> bool:
        """Show the suggestions of the search. Returns False for results of other jobs."""
        if not self._job or event.job != self._job:
            return False
        self._job = ""
        recipe = event.creation.recipe
        self.words_found.emit(_read_words(recipe.notes if recipe else {}))
        return True

    def on_job_changed(self, job: Job) -> None:
        """End the search if its job failed or was cancelled."""
        if self._job and job.id == self._job and job.state.ended and not job.outputs:
            self._job = ""
            self._end_search()

    def _end_search(self) -> None:
        self._gap = None
        self.words_found.emit([])

    def _build_request(self, tool: ToolDescriptor, text: str, seed: int) -> JobRequest:
        values = {**self._workspace.draft.values.get(tool.id, {}), TEXT_PARAMETER: text}
        return JobRequest(tool, values, seed)


def find_word_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the start and end of the gap mark or the word at a position; the position itself between words."""
    for at in range(max(0, start - len(GAP_MARK)), start + 1):
        if text.startswith(GAP_MARK, at):
            return at, at + len(GAP_MARK)
    while start > 0 and _is_in_word(text[start - 1]):
        start -= 1
    while end < len(text) and _is_in_word(text[end]):
        end += 1
    return start, end


def trim_spaces(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a range without the white space at its ends; the whole range if it is nothing but white space."""
    words = text[start:end].strip()
    if not words:
        return start, end
    start = text.index(words, start)
    return start, start + len(words)


def _is_in_word(character: str) -> bool:
    return character.isalnum() or character in _IN_WORD_MARKS


def _read_words(notes: Mapping[str, object]) -> list[tuple[str, float]]:
    """Return whole words only, without punctuation and without pieces that continue the word before."""
    try:
        pairs = msgspec.convert(notes.get(WORDS_NOTE, []), list[tuple[str, float]])
    except msgspec.ValidationError:
        return []
    plain = ((to_plain_text(word).strip(), probability) for word, probability in pairs)
    return [(word, p) for word, p in plain if any(map(str.isalnum, word)) and not word.startswith("##")]
