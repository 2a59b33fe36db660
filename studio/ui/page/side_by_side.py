"""The alternatives of a passage side by side, to compare and choose one."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractSlider,
    QApplication,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from studio.core.page.edits import InsertionPoint
from studio.state.page.page import Page
from studio.ui.page.alternative_card import AlternativeCard
from studio.ui.theme import icons
from studio.ui.widgets import labels

MIN_WIDTH, MAX_WIDTH, GAP = 208, 440, 12
"""Smallest and largest width of a column, and the gap between two, in pixels."""
CONTEXT_CHARACTERS = 200
"""Number of characters before the passage that are shown above the cards."""
KEYS = 9
_SCROLLS: dict[int, QAbstractSlider.SliderAction] = {
    Qt.Key.Key_Up: QAbstractSlider.SliderAction.SliderSingleStepSub,
    Qt.Key.Key_Down: QAbstractSlider.SliderAction.SliderSingleStepAdd,
    Qt.Key.Key_PageUp: QAbstractSlider.SliderAction.SliderPageStepSub,
    Qt.Key.Key_PageDown: QAbstractSlider.SliderAction.SliderPageStepAdd,
}


class SideBySide(QWidget):
    """Cards of all alternatives, over the editor. Text that is being written grows on its card.

    The focus returns to `page_view` when it is closed.
    """

    closed = Signal()

    def __init__(self, page: Page, page_view: QWidget) -> None:
        super().__init__(page_view)
        self._page, self._view = page, page_view
        self._ask: InsertionPoint | None = None
        self._opened_at = 0
        self._current_node: int | None = None
        self._context = ""
        self.cards: list[AlternativeCard] = []
        self.setProperty("role", "canvas")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName("Alternatives side by side")
        self.title = labels.make_label("", "heading")
        self.context_label = labels.make_label("", "dim")
        self.context_label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.hint = labels.make_label("", "caption", wrap=True)
        self.close_button = QToolButton()
        self.close_button.setProperty("role", "ghost")
        self.close_button.setIcon(icons.icon("close", "text"))
        labels.describe(self.close_button, "Close alternatives", "Close without a change (Esc)")
        self._scroll = _CardScrollArea()
        self._lay_out()
        self.hide()
        self.close_button.clicked.connect(self.dismiss)
        self._scroll.resized.connect(self._arrange)
        page.changed.connect(self._refresh)
        page.opened.connect(self.dismiss)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.title)
        head.addWidget(self.context_label, 1)
        head.addWidget(self.close_button)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(16, 12, 16, 8)
        self._column.setSpacing(8)
        self._column.addLayout(head)
        self._column.addWidget(self._scroll, 1)
        self._column.addWidget(self.hint)

    def open(self, ask: InsertionPoint) -> None:
        """Show the alternatives that answer `ask`, and focus the one on the page."""
        self._ask, self._opened_at = ask, self._page.tree.current
        self._context = " ".join(
            self._page.tree.text_of(ask.node)[max(0, ask.at - CONTEXT_CHARACTERS) : ask.at].split()
        )
        self.show()
        self.raise_()
        self._refresh()
        self._focus_current()

    def dismiss(self) -> None:
        """Close without a change."""
        if self._ask is None:
            return
        self._ask = None
        focused = QApplication.focusWidget()
        had_focus = focused is not None and self.isAncestorOf(focused)
        self.hide()
        self._set_card_count(0)
        if had_focus:
            self._view.setFocus()
        self.closed.emit()

    def choose(self, card: AlternativeCard) -> None:
        """Put a card's alternative onto the page, and close."""
        passage = card.passage
        self.dismiss()
        if passage.node is not None and not passage.is_current:
            self._page.show_passage(passage.node)

    # Showing
    def _refresh(self) -> None:
        if self._ask is None:
            return
        if self._is_elsewhere():
            self.dismiss()
            return
        passages = self._page.jobs.list_passages(self._ask)
        count = len(passages)
        focused = any(card.hasFocus() for card in self.cards)
        self._set_card_count(count)
        for number, (card, passage) in enumerate(zip(self.cards, passages, strict=True), 1):
            card.show_passage(number, count, passage)
        self.title.setText("1 alternative" if count == 1 else f"{count} alternatives")
        keys = f"press 1 to {min(count, KEYS)}, or use ← → and Enter" if count > 1 else "or press Enter"
        self.hint.setText(f"Click an alternative, {keys} to choose it. Press Esc to close without a change.")
        self._arrange()
        current_node = next((passage.node for passage in passages if passage.is_current), None)
        if current_node != self._current_node or not any(card.hasFocus() for card in self.cards):
            self._current_node = current_node
            if focused:
                self._focus_current()

    def _is_elsewhere(self) -> bool:
        """Check whether a job now writes at another place of the page."""
        book = self._page.tree
        return (
            book.current != self._opened_at
            and bool(self._page.jobs.streaming)
            and book.insertion_point_of(book.current) != self._ask
        )

    def _set_card_count(self, count: int) -> None:
        """Create or delete cards until there are `count`."""
        while len(self.cards) > count:
            card = self.cards.pop()
            card.hide()
            card.deleteLater()
        while len(self.cards) < count:
            card = AlternativeCard(self._scroll.row)
            card.clicked.connect(lambda _=False, card=card: self.choose(card))
            card.show()
            self.cards.append(card)

    def _arrange(self) -> None:
        """Place the cards in columns of equal size that fill the width, within its bounds."""
        if self._ask is None:
            return
        self._column.activate()
        available, count = self._scroll.viewport().size(), max(1, len(self.cards))
        width = max(MIN_WIDTH, min(MAX_WIDTH, (available.width() - GAP * (count - 1)) // count))
        height = max(available.height(), *(card.height_for(width) for card in self.cards), 0)
        total_width = (width + GAP) * count - GAP
        left = max(0, (available.width() - total_width) // 2)
        for number, card in enumerate(self.cards):
            card.setGeometry(left + (width + GAP) * number, 0, width, height)
        self._scroll.row.resize(max(available.width(), total_width), height)
        metrics = self.context_label.fontMetrics()
        quotes_width = metrics.horizontalAdvance("after “”")
        before = metrics.elidedText(
            self._context, Qt.TextElideMode.ElideLeft, max(0, self.context_label.width() - quotes_width)
        )
        self.context_label.setText(f"after “{before}”" if before else "")

    def _focus_current(self) -> None:
        """Focus the card of the alternative on the page, or the first card."""
        ready = [card for card in self.cards if card.isEnabled()]
        current_cards = (card for card in ready if card.passage.is_current)
        if card := next(current_cards, next(iter(ready), None)):
            self._focus_card(card)
        else:
            self.close_button.setFocus()

    def _focus_card(self, card: AlternativeCard) -> None:
        """Focus a card and scroll to it sideways only, so that the compared text keeps its height."""
        card.setFocus()
        height = self._scroll.verticalScrollBar().value()
        for x in (card.geometry().right(), card.x()):
            self._scroll.ensureVisible(x, height, GAP, 0)

    def _step(self, by: int) -> None:
        ready = [card for card in self.cards if card.isEnabled()]
        at = next((number for number, card in enumerate(ready) if card.hasFocus()), None)
        if at is None:
            self._focus_current()
        elif 0 <= at + by < len(ready):
            self._focus_card(ready[at + by])

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match key := event.key():
            case Qt.Key.Key_Escape:
                self.dismiss()
            case Qt.Key.Key_Left | Qt.Key.Key_Right:
                self._step(-1 if key == Qt.Key.Key_Left else 1)
            case Qt.Key.Key_Return | Qt.Key.Key_Enter:
                self._click(lambda card: card.hasFocus())
            case _ if key in _SCROLLS:
                self._scroll.verticalScrollBar().triggerAction(_SCROLLS[key])
            case _ if event.text() in map(str, range(1, KEYS + 1)):
                self._click(lambda card: str(card.number) == event.text())
            case _:
                super().keyPressEvent(event)

    def _click(self, matches: Callable[[AlternativeCard], bool]) -> None:
        if card := next(filter(matches, self.cards), None):
            card.click()


class _CardScrollArea(QScrollArea):
    """A scroll area with a row of cards. It leaves all keys to its parent."""

    resized = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.row = QWidget()
        self.setWidget(self.row)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        event.ignore()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.resized.emit()
