"""Other words for those on the page: what a model's word won against, when the pointer rests on it or by a key."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, Signal
from PySide6.QtGui import QMouseEvent

from studio.state.page.alternatives import Alternatives, Choice
from studio.ui.page.editor import PageEditor
from studio.ui.page.suggestion_list import SuggestionList, show_invisible

REACH = 12
"""Pixels around words and list in which the pointer may move while the list stays."""


class WordAlternatives(QObject):
    """Binds the list of words to the editor."""

    taken = Signal()
    """Another word was chosen: the model should go on from there."""
    nothing = Signal(str)
    """Why there is nothing to choose from; for a key, not for the pointer."""

    def __init__(self, editor: PageEditor, alternatives: Alternatives, suggestions: SuggestionList) -> None:
        super().__init__(editor)
        self._editor, self._alternatives, self._suggestions = editor, alternatives, suggestions
        self._choice: Choice | None = None
        self._hovers = False
        editor.hovered.connect(self._rest)
        editor.text_edited.connect(lambda *_: self.close())
        editor.verticalScrollBar().valueChanged.connect(lambda _: self.close())
        editor.viewport().installEventFilter(self)
        suggestions.chosen.connect(self._take)
        suggestions.stepped.connect(self._step)
        suggestions.escaped.connect(self.close)
        self._list = suggestions.list
        self._list.installEventFilter(self)

    def open(self) -> None:
        """For the word at the cursor, or the one before it."""
        words, at = self._editor.words, self._editor.place()
        if words[at - 1 : at].isalnum() and not words[at : at + 1].isalnum():
            at -= 1
        self._find(at, lambda: self._find(at - 1, self._say_nothing))

    def close(self) -> None:
        if self._choice is None:
            return
        self._choice = None
        had = self._list.hasFocus()
        self._suggestions.hide()
        self._editor.underline(0, 0)
        if had:
            self._editor.setFocus()

    def _rest(self, at: int) -> None:
        if not self._list.hasFocus():
            self._alternatives.find(at, lambda choice: self._show(choice, hovers=True) if choice else self.close())

    def _find(self, at: int, otherwise: Callable[[], None]) -> None:
        def found(choice: Choice | None) -> None:
            if choice is not None:
                self._show(choice, hovers=False)
            else:
                otherwise()

        if at < 0:
            found(None)
        else:
            self._alternatives.find(at, found)

    def _say_nothing(self) -> None:
        self.nothing.emit("Nothing is known of other words here: put the cursor into words that a model finished.")

    def _show(self, choice: Choice, *, hovers: bool) -> None:
        editor = self._editor
        self._choice, self._hovers = choice, hovers
        here = editor.words[choice.place : choice.place + choice.length]
        inside = here[:1].isalnum()

        def shown(word: str) -> str:
            """With the letters before it where it goes on with a word."""
            return show_invisible(choice.begun + word if inside or word[:1].isalnum() else word)

        rows = [(word, shown(word), share) for word, share in choice.offers]
        hint = "" if hovers else "← → other words · Enter writes on"
        self._suggestions.offer(f"Instead of “{shown(here)}”", rows, here, hint)
        editor.underline(choice.place, choice.length)
        self._suggestions.open_at(self._on_page())
        if not hovers:
            self._list.setFocus()

    def _take(self, word: str) -> None:
        choice = self._choice
        if choice is None:
            return
        here = self._editor.words[choice.place : choice.place + choice.length]
        self.close()
        self._editor.setFocus()
        if word != here:
            self._alternatives.take(choice, word)
            self.taken.emit()

    def _step(self, by: int) -> None:
        """To the words before or behind, over what is not a model's."""
        if (choice := self._choice) is not None:
            at = choice.place - 1 if by < 0 else choice.place + choice.length
            self._find(at, lambda: None)

    def _on_page(self) -> QRect:
        """Where the words are, in the page's own pixels."""
        choice = self._choice
        assert choice is not None
        rect = self._editor.rect_of(choice.place, choice.length)
        return QRect(self._editor.viewport().mapTo(self._suggestions.page, rect.topLeft()), rect.size())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if self._choice is not None and self._goes(watched, event):
            self.close()
        return False

    def _goes(self, watched: QObject, event: QEvent) -> bool:
        """Whether the list should not stay any longer."""
        viewport = self._editor.viewport()
        if watched is self._list:
            return event.type() == QEvent.Type.FocusOut and not self._hovers
        if isinstance(event, QMouseEvent) and event.type() == QEvent.Type.MouseMove:
            return self._hovers and not self._near(viewport.mapTo(self._suggestions.page, event.position().toPoint()))
        return event.type() == QEvent.Type.MouseButtonPress

    def _near(self, point: QPoint) -> bool:
        both = self._on_page().united(self._suggestions.geometry())
        return both.adjusted(-REACH, -REACH, REACH, REACH).contains(point)
