"""The alternatives of a word that the model wrote, shown on hover or by a key."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, Signal
from PySide6.QtGui import QMouseEvent

from studio.state.page.alternatives import Alternatives, Choice
from studio.ui.page.editor import PageEditor
from studio.ui.page.suggestion_list import SuggestionList, show_invisible

REACH = 12
"""Distance in pixels from the words and the list at which a hover list closes."""


class WordAlternatives(QObject):
    """Connects a list of words to the editor and the alternatives of the page."""

    word_chosen = Signal()
    """Emitted when another word was chosen, from which the model should continue."""
    unavailable = Signal(str)
    """Emitted with the reason if a key finds no alternatives."""

    def __init__(self, editor: PageEditor, alternatives: Alternatives, suggestions: SuggestionList) -> None:
        super().__init__(editor)
        self._editor, self._alternatives, self._suggestions = editor, alternatives, suggestions
        self._choice: Choice | None = None
        self._is_hover = False
        editor.hovered.connect(self._show_for_hover)
        editor.text_edited.connect(lambda *_: self.close())
        editor.verticalScrollBar().valueChanged.connect(lambda _: self.close())
        editor.viewport().installEventFilter(self)
        suggestions.chosen.connect(self._take)
        suggestions.stepped.connect(self._step)
        suggestions.escaped.connect(self.close)
        self._list = suggestions.list
        self._list.installEventFilter(self)

    def open(self) -> None:
        """Show the alternatives of the word at the cursor, or of the one before it."""
        words, at = self._editor.text, self._editor.cursor_position()
        if words[at - 1 : at].isalnum() and not words[at : at + 1].isalnum():
            at -= 1
        self._find(at, lambda: self._find(at - 1, self._report_none))

    def close(self) -> None:
        if self._choice is None:
            return
        self._choice = None
        had_focus = self._list.hasFocus()
        self._suggestions.hide()
        self._editor.highlight_word(0, 0)
        if had_focus:
            self._editor.setFocus()

    def _show_for_hover(self, at: int) -> None:
        if not self._list.hasFocus():
            self._alternatives.find(at, lambda choice: self._show(choice, is_hover=True) if choice else self.close())

    def _find(self, at: int, otherwise: Callable[[], None]) -> None:
        def show(choice: Choice | None) -> None:
            if choice is not None:
                self._show(choice, is_hover=False)
            else:
                otherwise()

        if at < 0:
            show(None)
        else:
            self._alternatives.find(at, show)

    def _report_none(self) -> None:
        self.unavailable.emit("There are no alternatives for this word. Put the cursor into text that the model wrote.")

    def _show(self, choice: Choice, *, is_hover: bool) -> None:
        editor = self._editor
        self._choice, self._is_hover = choice, is_hover
        current = editor.text[choice.position : choice.position + choice.length]
        inside = current[:1].isalnum()

        def complete(word: str) -> str:
            """Return the word, with its first letters if the alternative only continues it."""
            return show_invisible(choice.prefix + word if inside or word[:1].isalnum() else word)

        rows = [(word, complete(word), probability) for word, probability in choice.offers]
        hint = "" if is_hover else "← → next word · Enter to continue"
        self._suggestions.set_words(f"Replace “{complete(current)}”", rows, current, hint)
        editor.highlight_word(choice.position, choice.length)
        self._suggestions.open_at(self._word_rect())
        if not is_hover:
            self._list.setFocus()

    def _take(self, word: str) -> None:
        choice = self._choice
        if choice is None:
            return
        current = self._editor.text[choice.position : choice.position + choice.length]
        self.close()
        self._editor.setFocus()
        if word != current:
            self._alternatives.use(choice, word)
            self.word_chosen.emit()

    def _step(self, by: int) -> None:
        """Move to the next word of the model, to the left or right."""
        if (choice := self._choice) is not None:
            at = choice.position - 1 if by < 0 else choice.position + choice.length
            self._find(at, lambda: None)

    def _word_rect(self) -> QRect:
        """Return the rectangle of the words, in pixels of the page."""
        choice = self._choice
        assert choice is not None
        rect = self._editor.rect_of(choice.position, choice.length)
        return QRect(self._editor.viewport().mapTo(self._suggestions.page, rect.topLeft()), rect.size())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if self._choice is not None and self._should_close(watched, event):
            self.close()
        return False

    def _should_close(self, watched: QObject, event: QEvent) -> bool:
        """Check whether an event closes the list."""
        viewport = self._editor.viewport()
        if watched is self._list:
            return event.type() == QEvent.Type.FocusOut and not self._is_hover
        if isinstance(event, QMouseEvent) and event.type() == QEvent.Type.MouseMove:
            return self._is_hover and not self._is_near(
                viewport.mapTo(self._suggestions.page, event.position().toPoint())
            )
        return event.type() == QEvent.Type.MouseButtonPress

    def _is_near(self, point: QPoint) -> bool:
        area = self._word_rect().united(self._suggestions.geometry())
        return area.adjusted(-REACH, -REACH, REACH, REACH).contains(point)
