"""The alternatives at one place beside each other, to compare them and take one."""

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

NARROWEST, WIDEST, GAP = 208, 440, 12
"""Pixels of a column, and between two."""
BEFORE = 200
"""Characters before the place that are looked at for what stands above the cards."""
KEYS = 9
_SCROLLS: dict[int, QAbstractSlider.SliderAction] = {
    Qt.Key.Key_Up: QAbstractSlider.SliderAction.SliderSingleStepSub,
    Qt.Key.Key_Down: QAbstractSlider.SliderAction.SliderSingleStepAdd,
    Qt.Key.Key_PageUp: QAbstractSlider.SliderAction.SliderPageStepSub,
    Qt.Key.Key_PageDown: QAbstractSlider.SliderAction.SliderPageStepAdd,
}


class SideBySide(QWidget):
    """Lies over the paper while it is open, and gives the focus back to `page_view`.

    What is written meanwhile grows on the cards.
    """

    closed = Signal()

    def __init__(self, page: Page, page_view: QWidget) -> None:
        super().__init__(page_view)
        self._page, self._view = page, page_view
        self._ask: InsertionPoint | None = None
        self._since = 0
        self._here: int | None = None
        self._before = ""
        self.cards: list[AlternativeCard] = []
        self.setProperty("role", "canvas")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName("Alternatives side by side")
        self.title = labels.make_label("", "heading")
        self.before = labels.make_label("", "dim")
        self.before.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.hint = labels.make_label("", "caption", wrap=True)
        self.close_button = QToolButton()
        self.close_button.setProperty("role", "ghost")
        self.close_button.setIcon(icons.icon("close", "text"))
        labels.describe(self.close_button, "Close the alternatives", "All stays as it is (Esc)")
        self._scroll = _Scroll()
        self._lay_out()
        self.hide()
        self.close_button.clicked.connect(self.leave)
        self._scroll.resized.connect(self._arrange)
        page.changed.connect(self._refresh)
        page.opened.connect(self.leave)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.title)
        head.addWidget(self.before, 1)
        head.addWidget(self.close_button)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(16, 12, 16, 8)
        self._column.setSpacing(8)
        self._column.addLayout(head)
        self._column.addWidget(self._scroll, 1)
        self._column.addWidget(self.hint)

    def open(self, ask: InsertionPoint) -> None:
        """The alternatives at a place; the one on the page has the focus."""
        self._ask, self._since = ask, self._page.book.current
        self._before = " ".join(self._page.book.text_of(ask.node)[max(0, ask.at - BEFORE) : ask.at].split())
        self.show()
        self.raise_()
        self._refresh()
        self._focus()

    def leave(self) -> None:
        """All stays as it is."""
        if self._ask is None:
            return
        self._ask = None
        focused = QApplication.focusWidget()
        had = focused is not None and self.isAncestorOf(focused)
        self.hide()
        self._keep(0)
        if had:
            self._view.setFocus()
        self.closed.emit()

    def take(self, card: AlternativeCard) -> None:
        """It comes onto the page, and the page into view."""
        passage = card.passage
        self.leave()
        if passage.node is not None and not passage.is_here:
            self._page.choose(passage.node)

    # What is shown
    def _refresh(self) -> None:
        if self._ask is None:
            return
        if self._is_elsewhere():
            self.leave()
            return
        passages = self._page.passages(self._ask)
        count = len(passages)
        focused = any(card.hasFocus() for card in self.cards)
        self._keep(count)
        for number, (card, passage) in enumerate(zip(self.cards, passages, strict=True), 1):
            card.show_passage(number, count, passage)
        self.title.setText("1 alternative" if count == 1 else f"{count} alternatives")
        keys = f"1 to {min(count, KEYS)}, or ← → and Enter," if count > 1 else "Enter"
        self.hint.setText(f"A click, {keys} takes one; the others stay. Esc leaves all as it is.")
        self._arrange()
        here = next((passage.node for passage in passages if passage.is_here), None)
        if here != self._here or not any(card.hasFocus() for card in self.cards):
            self._here = here
            if focused:
                self._focus()

    def _is_elsewhere(self) -> bool:
        """Whether the page has gone on meanwhile to where a job writes at another place."""
        book = self._page.book
        return (
            book.current != self._since
            and bool(self._page.streaming)
            and book.insertion_point_of(book.current) != self._ask
        )

    def _keep(self, count: int) -> None:
        """So many cards."""
        while len(self.cards) > count:
            card = self.cards.pop()
            card.hide()
            card.deleteLater()
        while len(self.cards) < count:
            card = AlternativeCard(self._scroll.row)
            card.clicked.connect(_taker(self, card))
            card.show()
            self.cards.append(card)

    def _arrange(self) -> None:
        """Columns of one width and height, as wide as there is room for, within bounds."""
        if self._ask is None:
            return
        self._column.activate()
        room, count = self._scroll.viewport().size(), max(1, len(self.cards))
        width = max(NARROWEST, min(WIDEST, (room.width() - GAP * (count - 1)) // count))
        height = max(room.height(), *(card.height_at(width) for card in self.cards), 0)
        whole = (width + GAP) * count - GAP
        left = max(0, (room.width() - whole) // 2)
        for number, card in enumerate(self.cards):
            card.setGeometry(left + (width + GAP) * number, 0, width, height)
        self._scroll.row.resize(max(room.width(), whole), height)
        letters = self.before.fontMetrics()
        taken = letters.horizontalAdvance("after “”")
        before = letters.elidedText(self._before, Qt.TextElideMode.ElideLeft, max(0, self.before.width() - taken))
        self.before.setText(f"after “{before}”" if before else "")

    def _focus(self) -> None:
        """To the one on the page, or the first."""
        ready = [card for card in self.cards if card.isEnabled()]
        here = (card for card in ready if card.passage.is_here)
        if card := next(here, next(iter(ready), None)):
            self._go(card)
        else:
            self.close_button.setFocus()

    def _go(self, card: AlternativeCard) -> None:
        """Only sideways: what is compared stays at its height."""
        card.setFocus()
        height = self._scroll.verticalScrollBar().value()
        for x in (card.geometry().right(), card.x()):
            self._scroll.ensureVisible(x, height, GAP, 0)

    def _step(self, by: int) -> None:
        ready = [card for card in self.cards if card.isEnabled()]
        at = next((number for number, card in enumerate(ready) if card.hasFocus()), None)
        if at is None:
            self._focus()
        elif 0 <= at + by < len(ready):
            self._go(ready[at + by])

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match key := event.key():
            case Qt.Key.Key_Escape:
                self.leave()
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

    def _click(self, wanted: Callable[[AlternativeCard], bool]) -> None:
        if card := next(filter(wanted, self.cards), None):
            card.click()


class _Scroll(QScrollArea):
    """A row of cards. Its keys are for the one that it is in."""

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


def _taker(row: SideBySide, card: AlternativeCard) -> Callable[[], None]:
    return lambda: row.take(card)
