"""Words for a gap: a list at the gap, from the moment that they are looked for."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QRect

from studio.state.page.selection_tools import Gap, SelectionTools
from studio.ui.page.editor import PageEditor
from studio.ui.page.suggestion_list import SuggestionList


class GapSuggestions(QObject):
    """Binds a list of words to the editor."""

    def __init__(self, editor: PageEditor, selection_tools: SelectionTools, suggestions: SuggestionList) -> None:
        super().__init__(editor)
        self._editor, self._selection_tools, self._suggestions = editor, selection_tools, suggestions
        self._gap: Gap | None = None
        selection_tools.looking.connect(self._look)
        selection_tools.offered.connect(self._show)
        suggestions.chosen.connect(self._use)
        suggestions.escaped.connect(self.close)
        editor.text_edited.connect(lambda *_: self.close())
        editor.verticalScrollBar().valueChanged.connect(lambda _: self.close())
        editor.viewport().installEventFilter(self)
        suggestions.list.installEventFilter(self)

    def close(self) -> None:
        if self._gap is not None:
            self._selection_tools.stop_looking()
            self._hide()

    def _hide(self) -> None:
        self._gap = None
        had = self._suggestions.list.hasFocus()
        self._suggestions.hide()
        self._editor.underline(0, 0)
        if had:
            self._editor.setFocus()

    def _look(self, gap: Gap) -> None:
        self._gap = gap
        self._suggestions.offer("Looking for words…", [], "", "Esc stops it")
        self._editor.underline(gap.start, gap.end - gap.start)
        self._open(gap)

    def _show(self, found: Sequence[tuple[str, float]]) -> None:
        gap = self._gap
        if gap is None:
            return
        if not found:
            self._hide()
            return
        here = gap.here.strip()
        title = f"Instead of “{here}”" if here.strip("_") else "For this gap"
        self._suggestions.offer(
            title, [(word, word, share) for word, share in found], here, "↑ ↓ · Enter puts it there"
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
        self._selection_tools.use(word)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if self._gap is None:  # So it is while the window ends, when there is no editor to ask any more.
            return False
        pressed = watched is self._editor.viewport() and event.type() == QEvent.Type.MouseButtonPress
        left = watched is self._suggestions.list and event.type() == QEvent.Type.FocusOut
        if pressed or left:
            self.close()
        return False
