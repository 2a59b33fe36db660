"""The list of words for a gap, which opens as soon as the search starts."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QRect

from studio.state.page.selection_tools import Gap, SelectionTools
from studio.ui.page.editor import PageEditor
from studio.ui.page.suggestion_list import SuggestionList


class GapSuggestions(QObject):
    """Connects a list of words to the editor and the selection tools."""

    def __init__(self, editor: PageEditor, selection_tools: SelectionTools, suggestions: SuggestionList) -> None:
        super().__init__(editor)
        self._editor, self._selection_tools, self._suggestions = editor, selection_tools, suggestions
        self._gap: Gap | None = None
        selection_tools.search_started.connect(self._show_searching)
        selection_tools.words_found.connect(self._show)
        suggestions.chosen.connect(self._use)
        suggestions.escaped.connect(self.close)
        editor.text_edited.connect(lambda *_: self.close())
        editor.verticalScrollBar().valueChanged.connect(lambda _: self.close())
        editor.viewport().installEventFilter(self)
        suggestions.list.installEventFilter(self)

    def close(self) -> None:
        if self._gap is not None:
            self._selection_tools.stop_search()
            self._hide()

    def _hide(self) -> None:
        self._gap = None
        had_focus = self._suggestions.list.hasFocus()
        self._suggestions.hide()
        self._editor.highlight_word(0, 0)
        if had_focus:
            self._editor.setFocus()

    def _show_searching(self, gap: Gap) -> None:
        self._gap = gap
        self._suggestions.set_words("Looking for words…", [], "", "Press Esc to stop")
        self._editor.highlight_word(gap.start, gap.end - gap.start)
        self._open(gap)

    def _show(self, words: Sequence[tuple[str, float]]) -> None:
        gap = self._gap
        if gap is None:
            return
        if not words:
            self._hide()
            return
        current = gap.text.strip()
        title = f"Replace “{current}”" if current.strip("_") else "Fill this gap"
        self._suggestions.set_words(
            title,
            [(word, word, probability) for word, probability in words],
            current,
            "↑ ↓ to choose · Enter to insert",
        )
        self._open(gap)
        self._suggestions.list.setFocus()

    def _open(self, gap: Gap) -> None:
        rect = self._editor.rect_of(gap.start, gap.end - gap.start)
        corner = self._editor.viewport().mapTo(self._suggestions.page, rect.topLeft())
        self._suggestions.open_at(QRect(corner, rect.size()))

    def _use(self, word: str) -> None:
        self._hide()
        self._editor.setFocus()
        self._selection_tools.use_word(word)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if self._gap is None:  # Also while the window closes, when the editor is deleted.
            return False
        pressed = watched is self._editor.viewport() and event.type() == QEvent.Type.MouseButtonPress
        left = watched is self._suggestions.list and event.type() == QEvent.Type.FocusOut
        if pressed or left:
            self.close()
        return False
