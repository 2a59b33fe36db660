"""The page as the artist has it before them: the paper, what floats over it and the bar below."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QIcon, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QPushButton, QToolButton, QVBoxLayout, QWidget

from studio.core.humanize import group_digits
from studio.core.page.plain_text import WordCount
from studio.library.pages.store import PageInfo
from studio.state.jobs.estimates import Estimates
from studio.state.page.alternatives import Alternatives
from studio.state.page.illustrations import Illustrating
from studio.state.page.page import Page
from studio.state.page.selection_tools import OnWords
from studio.ui.canvas.overlay_bars import FloatingBar
from studio.ui.page.editor import PageEditor
from studio.ui.page.export_dialog import open_export_dialog
from studio.ui.page.find_bar import FindBar
from studio.ui.page.gap_suggestions import GapSuggestions
from studio.ui.page.illustrations import IllustrationsBar
from studio.ui.page.revisions_panel import RevisionsPanel
from studio.ui.page.side_by_side import SideBySide
from studio.ui.page.suggestion_list import SuggestionList
from studio.ui.page.token_budget_bar import TokenBudgetBar
from studio.ui.page.word_alternatives import WordAlternatives
from studio.ui.theme import icons
from studio.ui.widgets import labels
from studio.ui.widgets.thumbnail_loader import ThumbnailLoader

COUNT_MS = 200
"""Words are counted again this long after a change."""
LISTED = 20
GAP = 6
ROOMY = 560
"""Pixels that all words of the bar below need, or versions beside the paper."""


class PageView(QWidget):
    """Binds to a `Page` and holds no state of its own. What the signals say is asked of the window."""

    write_on = Signal()
    write_again = Signal()
    """With another seed than before."""
    stop = Signal()
    said = Signal(str)
    """A sentence that the artist should see."""

    def __init__(
        self,
        page: Page,
        illustrating: Illustrating,
        alternatives: Alternatives,
        on_words: OnWords,
        estimates: Estimates,
        thumbnails: ThumbnailLoader,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.page, self.illustrating, self.on_words = page, illustrating, on_words
        self.setProperty("role", "canvas")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName("Page of text")
        self.paper = PageEditor()
        self.find_bar = FindBar()
        self.find_bar.hide()
        self.versions = RevisionsPanel(page, self)
        self.versions.hide()
        self.top = FloatingBar("Page tools", self)
        self.pictures = IllustrationsBar(illustrating, thumbnails)
        self.budget = TokenBudgetBar(estimates)
        self.bar = PageBar()
        self.offers = SuggestionList(self)
        self.other_words = WordAlternatives(self.paper, alternatives, self.offers)
        self.found = SuggestionList(self)
        self.found_words = GapSuggestions(self.paper, on_words, self.found)
        self.side_by_side = SideBySide(page, self)
        self._shown: object = None
        self._words = WordCount()
        self._counting = QTimer(self, interval=COUNT_MS, singleShot=True)
        self._counting.timeout.connect(self._count)
        self._fill_top()
        self._lay_out()
        self._connect()
        self._open()

    def _fill_top(self) -> None:
        self.pages = QPushButton("Pages")
        self.pages.setMenu(menu := QMenu(self.pages))
        labels.describe(menu, "Pages")
        menu.setToolTip("")
        menu.aboutToShow.connect(lambda: self._fill_pages(menu))
        labels.describe(self.pages, "Pages", "Begin a new page, or open another")
        self.searching = _top("Find", "Find and replace on this page (Ctrl+F)")
        self.branches = _top("Versions", "Everything that was ever written here (Ctrl+Shift+V)")
        self.paint_button = _top("Paint this", "Paint the selected words, or the paragraph at the cursor (Alt+I)")
        self.paint_button.setCheckable(False)
        self.pages.setProperty("role", "ghost")
        for button in (self.pages, self.paint_button, self.searching, self.branches):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            self.top.row.addWidget(button)

    def _lay_out(self) -> None:
        self._body = QHBoxLayout()
        self._body.addWidget(self.paper)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(self._body, 1)
        column.addWidget(self.pictures)
        column.addWidget(self.find_bar)
        column.addWidget(self.budget)
        column.addWidget(self.bar)
        self.setFocusProxy(self.paper)
        self.top.raise_()
        self.versions.raise_()
        self.paper.installEventFilter(self)

    def _connect(self) -> None:
        page, paper, bar = self.page, self.paper, self.bar
        page.opened.connect(self._open)
        page.changed.connect(self._show)
        page.cursor_moved.connect(self._put_cursor)
        paper.typed.connect(self._typed)
        paper.placed.connect(page.set_cursor)
        paper.undo_asked.connect(page.undo)
        paper.redo_asked.connect(page.redo)
        paper.left.connect(self._escape)
        paper.menu_asked.connect(self._open_menu)
        bar.back.clicked.connect(lambda: page.step(-1))
        bar.on.clicked.connect(lambda: page.step(1))
        bar.beside.clicked.connect(lambda _: self.toggle_side_by_side())
        self.side_by_side.closed.connect(lambda: bar.beside.setChecked(False))
        bar.undo.clicked.connect(page.undo)
        bar.redo.clicked.connect(page.redo)
        bar.again.clicked.connect(self.regenerate)
        bar.stop.clicked.connect(self.stop)
        self.searching.clicked.connect(lambda _: self.toggle_find())
        self.branches.clicked.connect(lambda _: self.toggle_versions())
        self.paint_button.clicked.connect(lambda _: self.paint_this())
        self.pictures.chosen.connect(lambda at, length: paper.put_cursor(at, select=length))
        self.versions.closed.connect(self.toggle_versions)
        self.other_words.taken.connect(self.write_on)
        self.other_words.nothing.connect(self.said)
        self.find_bar.closed.connect(self.toggle_find)
        self.find_bar.marked.connect(paper.mark)
        self.find_bar.shown.connect(lambda at, length: paper.put_cursor(at, select=length))
        self.find_bar.replaced.connect(page.replace)

    # What can be done
    def regenerate(self) -> None:
        """The passage at the cursor once more, as another alternative."""
        if self.on_words.again(self.page.cursor):
            return
        if self.page.again():
            self.write_again.emit()
        else:
            self.said.emit("Put the cursor into what a model wrote, to have it written again.")

    def toggle_side_by_side(self) -> None:
        """All alternatives of the passage at the cursor, or the paper again."""
        if not self.side_by_side.isHidden():
            self.side_by_side.leave()
            return
        ask = self.page.asked_here()
        if ask is not None and self.page.has_others:
            self.other_words.close()
            self.found_words.close()
            self.side_by_side.setGeometry(self.paper.geometry())
            self.side_by_side.open(ask)
        else:
            self.said.emit("Put the cursor into what a model wrote more than once. Regenerate writes it once more.")
        self.bar.beside.setChecked(not self.side_by_side.isHidden())

    def other_words_here(self) -> None:
        """Other words for the one at the cursor."""
        self.side_by_side.leave()
        self.other_words.open()

    def paint_this(self) -> None:
        self.illustrating.paint(*self.paper.selection())

    def rewrite(self) -> None:
        """The selected words, or the paragraph, said otherwise."""
        self.side_by_side.leave()
        self.on_words.rewrite(*self.paper.selection())

    def find_word(self) -> None:
        """Words for what is selected, or for the gap at the cursor."""
        self.side_by_side.leave()
        self.on_words.find_word(*self.paper.selection())

    def repaint_near(self) -> None:
        """The stale picture nearest to the cursor."""
        self.illustrating.repaint_near(self.paper.place())

    def save(self) -> None:
        """As a file for others."""
        open_export_dialog(self.window(), self.page.text, self.illustrating.export)

    def toggle_find(self) -> None:
        on = self.find_bar.isHidden()
        self.find_bar.setVisible(on)
        self.searching.setChecked(on)
        if on:
            self.side_by_side.leave()
            start, end = self.paper.selection()
            self.find_bar.look_at(self.paper.words, start)
            self.find_bar.begin(self.paper.words[start:end])
        else:
            self.paper.mark([])
            self.paper.setFocus()

    def toggle_versions(self) -> None:
        on = self.versions.isHidden()
        self.branches.setChecked(on)
        if on:
            self.versions.open()
        else:
            self.versions.hide()
            self.paper.setFocus()
        self._make_room()

    def _escape(self) -> None:
        if not self.offers.isHidden():
            self.other_words.close()
        elif not self.found.isHidden():
            self.found_words.close()
        elif not self.find_bar.isHidden():
            self.toggle_find()
        elif self.page.is_writing:
            self.stop.emit()

    # What is shown
    def _open(self) -> None:
        self._shown = None
        self.other_words.close()
        self.found_words.close()
        self.paper.setReadOnly(not self.page.ready)
        self._show()

    def _show(self) -> None:
        page = self.page
        node = page.book.nodes[page.book.current]
        if node is not self._shown:
            self._shown = node
            self.other_words.close()
            self.found_words.close()
            self.paper.show_runs(page.runs)
            if not self.find_bar.isHidden():
                self.find_bar.look_at(self.paper.words, self.paper.place())
            if self.isVisible() and not self._counting.isActive():
                self._counting.start()
        self.bar.show_page(page)

    def _typed(self, at: int, removed: int, text: str) -> None:
        self.page.cursor = self.paper.place()
        self.page.write(at, removed, text)

    def _put_cursor(self, at: int) -> None:
        self._show()
        self.paper.put_cursor(at)

    def _count(self) -> None:
        count = self._words(self.paper.words)
        self.bar.count.setText("1 word" if count == 1 else f"{group_digits(count)} words")

    def _open_menu(self, menu: QMenu, at: QPoint) -> None:
        """What can be done with the words, before what any editor can do."""
        first = menu.actions()[0] if menu.actions() else None
        own = {
            "edit-undo": (self.page.undo, self.page.book.can_undo),
            "edit-redo": (self.page.redo, self.page.book.can_redo),
        }
        for action in menu.actions():
            if action.objectName() in own:
                step, possible = own[action.objectName()]
                action.setEnabled(possible)
                action.triggered.connect(step)
        for action in self.actions():
            menu.insertAction(first, action)  # type: ignore[arg-type]
        menu.insertSeparator(first)  # type: ignore[arg-type]
        menu.exec(at)
        menu.deleteLater()

    def _fill_pages(self, menu: QMenu) -> None:
        menu.clear()
        menu.addAction("New page", self.page.new_page)
        menu.addSeparator()
        waiting = menu.addAction("Looking…")
        waiting.setEnabled(False)

        def fill(found: list[PageInfo]) -> None:
            if waiting not in menu.actions():  # It was opened once more meanwhile.
                return
            menu.removeAction(waiting)
            for info in found[:LISTED]:
                action = menu.addAction((info.opening or "Without words").replace("&", "&&"))
                action.setCheckable(True)
                action.setChecked(info.id == self.page.page_id)
                action.triggered.connect(_opener(self.page, info.id))

        self.page.pages(fill)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """What floats over the paper stays over its middle, also beside the versions."""
        if watched is self.paper and event.type() in (QEvent.Type.Resize, QEvent.Type.Move):
            paper = self.paper.geometry()
            self.top.adjustSize()
            self.top.move((paper.width() - self.top.width()) // 2, GAP)
            self.side_by_side.setGeometry(paper)
            width = self.versions.width()
            self.versions.setGeometry(self.width() - width, paper.top(), width, paper.height())
        return super().eventFilter(watched, event)

    def _make_room(self) -> None:
        """For the versions beside the paper; where there is little, they lie over it."""
        beside = not self.versions.isHidden() and self.width() >= ROOMY
        self._body.setContentsMargins(0, 0, self.versions.width() if beside else 0, 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._make_room()
        self.find_bar.set_narrow(self.width() < ROOMY)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._count()

    def hideEvent(self, event: QHideEvent) -> None:
        self._counting.stop()
        super().hideEvent(event)


class PageBar(QWidget):
    """Alternatives on the left, what can be done and how long the text is on the right."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(52)
        self.back = _icon("chevron-left", "Previous alternative", "The alternative before (Alt+Left)")
        self.on = _icon("chevron-right", "Next alternative", "The next alternative (Alt+Right)")
        self.which = labels.make_label("", "dim")
        self.beside = _icon("view-column-outline", "Alternatives side by side", "All alternatives side by side (Alt+S)")
        self.beside.setCheckable(True)
        self.again = QPushButton()
        labels.describe(self.again, "Regenerate", "Write the passage at the cursor once more (Ctrl+Shift+Enter)")
        self.stop = QPushButton("Stop")
        labels.describe(self.stop, "Stop writing", "What was written so far stays (Esc)")
        self.state = labels.make_label("", "dim")
        self.undo = _icon("undo", "Undo writing", "Undo (Ctrl+Z)")
        self.redo = _icon("redo", "Redo writing", "Redo (Ctrl+Shift+Z)")
        self.count = labels.make_label("0 words", "caption")
        self.count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.count.setMinimumWidth(72)
        row = self._row = QHBoxLayout(self)
        row.setSpacing(8)
        for widget in (self.back, self.which, self.on, self.beside, self.again):
            row.addWidget(widget)
        row.addSpacing(8)
        row.addWidget(self.state)
        row.addWidget(self.stop)
        row.addStretch(1)
        for widget in (self.undo, self.redo, self.count):
            row.addWidget(widget)

    def show_page(self, page: Page) -> None:
        number, of = page.alternatives
        for widget in (self.back, self.which, self.on):
            widget.setVisible(of > 1)
        self.which.setText(f"{number} of {of}")
        self.beside.setVisible(page.has_others)
        self.again.setVisible(of > 0 and not page.is_writing)
        self.stop.setVisible(page.is_writing)
        self.state.setText(_state(page))
        self.undo.setEnabled(page.book.can_undo)
        self.redo.setEnabled(page.book.can_redo)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where there is little room, signs stand for words."""
        super().resizeEvent(event)
        narrow = self.width() < ROOMY
        self._row.setContentsMargins(8 if narrow else 16, 0, 8 if narrow else 16, 0)
        self.again.setText("" if narrow else "Regenerate")
        self.again.setIcon(icons.icon("refresh", "text") if narrow else QIcon())
        self.state.setVisible(not narrow)
        self.count.setVisible(not narrow)


def _state(page: Page) -> str:
    if page.streaming:
        return "Writing…"
    if page.writes_beside:
        return "Writing another version…"
    return "Waiting to write…" if page.is_writing else ""


def _opener(page: Page, id: str) -> Callable[[], None]:
    return lambda: page.open_page(id)


def _top(text: str, hint: str) -> QPushButton:
    button = QPushButton(text)
    button.setProperty("role", "ghost")
    button.setCheckable(True)
    labels.describe(button, text, hint)
    return button


def _icon(icon: str, name: str, hint: str) -> QToolButton:
    button = QToolButton()
    button.setProperty("role", "ghost")
    button.setIcon(icons.icon(icon, "text"))
    button.setIconSize(QSize(18, 18))
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    labels.describe(button, name, hint)
    return button
