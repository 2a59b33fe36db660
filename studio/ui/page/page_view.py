"""The page as the artist has it before them: the editor, what floats over it and the bar below."""

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
from studio.state.page.illustrations import Illustrations
from studio.state.page.page import Page
from studio.state.page.selection_tools import SelectionTools
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
"""Pixels that all words of the bar below need, or versions beside the editor."""


class PageView(QWidget):
    """Binds to a `Page` and holds no state of its own. What the signals say is asked of the window."""

    continue_requested = Signal()
    regenerate_requested = Signal()
    """With another seed than before."""
    stop_requested = Signal()
    notified = Signal(str)
    """A sentence that the artist should see."""

    def __init__(
        self,
        page: Page,
        illustrations: Illustrations,
        alternatives: Alternatives,
        selection_tools: SelectionTools,
        estimates: Estimates,
        thumbnails: ThumbnailLoader,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.page, self.illustrations, self.selection_tools = page, illustrations, selection_tools
        self.setProperty("role", "canvas")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName("Page of text")
        self.editor = PageEditor()
        self.find_bar = FindBar()
        self.find_bar.hide()
        self.revisions_panel = RevisionsPanel(page, self)
        self.revisions_panel.hide()
        self.tool_bar = FloatingBar("Page tools", self)
        self.illustrations_bar = IllustrationsBar(illustrations, thumbnails)
        self.token_budget_bar = TokenBudgetBar(estimates)
        self.page_bar = PageBar()
        self.word_list = SuggestionList(self)
        self.word_alternatives = WordAlternatives(self.editor, alternatives, self.word_list)
        self.gap_list = SuggestionList(self)
        self.gap_suggestions = GapSuggestions(self.editor, selection_tools, self.gap_list)
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
        self.pages_button = QPushButton("Pages")
        self.pages_button.setMenu(menu := QMenu(self.pages_button))
        labels.describe(menu, "Pages")
        menu.setToolTip("")
        menu.aboutToShow.connect(lambda: self._fill_pages(menu))
        labels.describe(self.pages_button, "Pages", "Begin a new page, or open another")
        self.find_button = _top("Find", "Find and replace on this page (Ctrl+F)")
        self.versions_button = _top("Versions", "Everything that was ever written here (Ctrl+Shift+V)")
        self.paint_button = _top("Paint this", "Paint the selected words, or the paragraph at the cursor (Alt+I)")
        self.paint_button.setCheckable(False)
        self.pages_button.setProperty("role", "ghost")
        for button in (self.pages_button, self.paint_button, self.find_button, self.versions_button):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            self.tool_bar.row.addWidget(button)

    def _lay_out(self) -> None:
        self._body = QHBoxLayout()
        self._body.addWidget(self.editor)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(self._body, 1)
        column.addWidget(self.illustrations_bar)
        column.addWidget(self.find_bar)
        column.addWidget(self.token_budget_bar)
        column.addWidget(self.page_bar)
        self.setFocusProxy(self.editor)
        self.tool_bar.raise_()
        self.revisions_panel.raise_()
        self.editor.installEventFilter(self)

    def _connect(self) -> None:
        page, editor, bar = self.page, self.editor, self.page_bar
        page.opened.connect(self._open)
        page.changed.connect(self._show)
        page.cursor_moved.connect(self._put_cursor)
        editor.text_edited.connect(self._typed)
        editor.cursor_placed.connect(page.set_cursor)
        editor.undo_requested.connect(page.undo)
        editor.redo_requested.connect(page.redo)
        editor.escaped.connect(self._escape)
        editor.menu_requested.connect(self._open_menu)
        bar.back.clicked.connect(lambda: page.step(-1))
        bar.on.clicked.connect(lambda: page.step(1))
        bar.beside.clicked.connect(lambda _: self.toggle_side_by_side())
        self.side_by_side.closed.connect(lambda: bar.beside.setChecked(False))
        bar.undo.clicked.connect(page.undo)
        bar.redo.clicked.connect(page.redo)
        bar.again.clicked.connect(self.regenerate)
        bar.stop.clicked.connect(self.stop_requested)
        self.find_button.clicked.connect(lambda _: self.toggle_find())
        self.versions_button.clicked.connect(lambda _: self.toggle_versions())
        self.paint_button.clicked.connect(lambda _: self.paint_this())
        self.illustrations_bar.chosen.connect(lambda at, length: editor.put_cursor(at, select=length))
        self.revisions_panel.closed.connect(self.toggle_versions)
        self.word_alternatives.taken.connect(self.continue_requested)
        self.word_alternatives.nothing.connect(self.notified)
        self.find_bar.closed.connect(self.toggle_find)
        self.find_bar.marked.connect(editor.mark)
        self.find_bar.shown.connect(lambda at, length: editor.put_cursor(at, select=length))
        self.find_bar.replaced.connect(page.replace)

    # What can be done
    def regenerate(self) -> None:
        """The passage at the cursor once more, as another alternative."""
        if self.selection_tools.again(self.page.cursor):
            return
        if self.page.again():
            self.regenerate_requested.emit()
        else:
            self.notified.emit("Put the cursor into what a model wrote, to have it written again.")

    def toggle_side_by_side(self) -> None:
        """All alternatives of the passage at the cursor, or the editor again."""
        if not self.side_by_side.isHidden():
            self.side_by_side.leave()
            return
        ask = self.page.asked_here()
        if ask is not None and self.page.has_others:
            self.word_alternatives.close()
            self.gap_suggestions.close()
            self.side_by_side.setGeometry(self.editor.geometry())
            self.side_by_side.open(ask)
        else:
            self.notified.emit("Put the cursor into what a model wrote more than once. Regenerate writes it once more.")
        self.page_bar.beside.setChecked(not self.side_by_side.isHidden())

    def show_word_alternatives(self) -> None:
        """Other words for the one at the cursor."""
        self.side_by_side.leave()
        self.word_alternatives.open()

    def paint_this(self) -> None:
        self.illustrations.paint(*self.editor.selection())

    def rewrite(self) -> None:
        """The selected words, or the paragraph, said otherwise."""
        self.side_by_side.leave()
        self.selection_tools.rewrite(*self.editor.selection())

    def find_word(self) -> None:
        """Words for what is selected, or for the gap at the cursor."""
        self.side_by_side.leave()
        self.selection_tools.find_word(*self.editor.selection())

    def repaint_nearest(self) -> None:
        """The stale picture nearest to the cursor."""
        self.illustrations.repaint_near(self.editor.place())

    def save(self) -> None:
        """As a file for others."""
        open_export_dialog(self.window(), self.page.text, self.illustrations.export)

    def toggle_find(self) -> None:
        on = self.find_bar.isHidden()
        self.find_bar.setVisible(on)
        self.find_button.setChecked(on)
        if on:
            self.side_by_side.leave()
            start, end = self.editor.selection()
            self.find_bar.look_at(self.editor.words, start)
            self.find_bar.begin(self.editor.words[start:end])
        else:
            self.editor.mark([])
            self.editor.setFocus()

    def toggle_versions(self) -> None:
        on = self.revisions_panel.isHidden()
        self.versions_button.setChecked(on)
        if on:
            self.revisions_panel.open()
        else:
            self.revisions_panel.hide()
            self.editor.setFocus()
        self._make_room()

    def _escape(self) -> None:
        if not self.word_list.isHidden():
            self.word_alternatives.close()
        elif not self.gap_list.isHidden():
            self.gap_suggestions.close()
        elif not self.find_bar.isHidden():
            self.toggle_find()
        elif self.page.is_writing:
            self.stop_requested.emit()

    # What is shown
    def _open(self) -> None:
        self._shown = None
        self.word_alternatives.close()
        self.gap_suggestions.close()
        self.editor.setReadOnly(not self.page.ready)
        self._show()

    def _show(self) -> None:
        page = self.page
        node = page.book.nodes[page.book.current]
        if node is not self._shown:
            self._shown = node
            self.word_alternatives.close()
            self.gap_suggestions.close()
            self.editor.show_runs(page.runs)
            if not self.find_bar.isHidden():
                self.find_bar.look_at(self.editor.words, self.editor.place())
            if self.isVisible() and not self._counting.isActive():
                self._counting.start()
        self.page_bar.show_page(page)

    def _typed(self, at: int, removed: int, text: str) -> None:
        self.page.cursor = self.editor.place()
        self.page.write(at, removed, text)

    def _put_cursor(self, at: int) -> None:
        self._show()
        self.editor.put_cursor(at)

    def _count(self) -> None:
        count = self._words(self.editor.words)
        self.page_bar.count.setText("1 word" if count == 1 else f"{group_digits(count)} words")

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
        """What floats over the editor stays over its middle, also beside the versions."""
        if watched is self.editor and event.type() in (QEvent.Type.Resize, QEvent.Type.Move):
            editor = self.editor.geometry()
            self.tool_bar.adjustSize()
            self.tool_bar.move((editor.width() - self.tool_bar.width()) // 2, GAP)
            self.side_by_side.setGeometry(editor)
            width = self.revisions_panel.width()
            self.revisions_panel.setGeometry(self.width() - width, editor.top(), width, editor.height())
        return super().eventFilter(watched, event)

    def _make_room(self) -> None:
        """For the versions beside the editor; where there is little, they lie over it."""
        beside = not self.revisions_panel.isHidden() and self.width() >= ROOMY
        self._body.setContentsMargins(0, 0, self.revisions_panel.width() if beside else 0, 0)

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
