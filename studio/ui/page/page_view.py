"""The page view: the editor, its tool bar, its panels, and the bar below."""

from __future__ import annotations

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
"""Milliseconds after a change until the words are counted."""
MAX_PAGES = 20
GAP = 6
WIDE = 560
"""Width in pixels from which button texts and the versions beside the editor fit."""


class PageView(QWidget):
    """The view of a `Page`. It holds no state; its signals ask the window to act."""

    continue_requested = Signal()
    regenerate_requested = Signal()
    """Emitted to write again with a new seed."""
    stop_requested = Signal()
    notified = Signal(str)
    """Emitted with a notice."""

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
        self._word_count = WordCount()
        self._count_timer = QTimer(self, interval=COUNT_MS, singleShot=True)
        self._count_timer.timeout.connect(self._count)
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
        labels.describe(self.pages_button, "Pages", "Start a new page or open another")
        self.find_button = _make_tool_button("Find", "Find and replace on this page (Ctrl+F)")
        self.versions_button = _make_tool_button("Versions", "Every version of this page (Ctrl+Shift+V)")
        self.paint_button = _make_tool_button(
            "Illustrate", "Generate an image from the selected words or the paragraph at the cursor (Alt+I)"
        )
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
        editor.text_edited.connect(self._on_text_edited)
        editor.cursor_placed.connect(page.set_cursor)
        editor.undo_requested.connect(page.undo)
        editor.redo_requested.connect(page.redo)
        editor.escaped.connect(self._escape)
        editor.menu_requested.connect(self._open_menu)
        bar.previous_button.clicked.connect(lambda: page.step_alternative(-1))
        bar.next_button.clicked.connect(lambda: page.step_alternative(1))
        bar.side_by_side_button.clicked.connect(lambda _: self.toggle_side_by_side())
        self.side_by_side.closed.connect(lambda: bar.side_by_side_button.setChecked(False))
        bar.undo.clicked.connect(page.undo)
        bar.redo.clicked.connect(page.redo)
        bar.regenerate_button.clicked.connect(self.regenerate)
        bar.stop_button.clicked.connect(self.stop_requested)
        self.find_button.clicked.connect(lambda _: self.toggle_find())
        self.versions_button.clicked.connect(lambda _: self.toggle_versions())
        self.paint_button.clicked.connect(lambda _: self.paint_this())
        self.illustrations_bar.chosen.connect(lambda at, length: editor.put_cursor(at, select=length))
        self.revisions_panel.closed.connect(self.toggle_versions)
        self.word_alternatives.word_chosen.connect(self.continue_requested)
        self.word_alternatives.unavailable.connect(self.notified)
        self.find_bar.closed.connect(self.toggle_find)
        self.find_bar.matches_changed.connect(editor.highlight_matches)
        self.find_bar.match_selected.connect(lambda at, length: editor.put_cursor(at, select=length))
        self.find_bar.replaced.connect(page.replace)

    # What can be done
    def regenerate(self) -> None:
        """Write another alternative of the passage at the cursor."""
        if self.selection_tools.rewrite_again(self.page.cursor):
            return
        if self.page.jobs.write_again_next():
            self.regenerate_requested.emit()
        else:
            self.notified.emit("Put the cursor into text that the model wrote, then choose Regenerate.")

    def toggle_side_by_side(self) -> None:
        """Show all alternatives of the passage at the cursor, or hide them."""
        if not self.side_by_side.isHidden():
            self.side_by_side.dismiss()
            return
        ask = self.page.find_insertion_point()
        if ask is not None and self.page.has_alternatives:
            self.word_alternatives.close()
            self.gap_suggestions.close()
            self.side_by_side.setGeometry(self.editor.geometry())
            self.side_by_side.open(ask)
        else:
            self.notified.emit(
                "There are no alternatives here. Put the cursor into text that the model wrote, then choose Regenerate."
            )
        self.page_bar.side_by_side_button.setChecked(not self.side_by_side.isHidden())

    def show_word_alternatives(self) -> None:
        """Show alternatives for the word at the cursor."""
        self.side_by_side.dismiss()
        self.word_alternatives.open()

    def paint_this(self) -> None:
        self.illustrations.paint(*self.editor.selection())

    def rewrite(self) -> None:
        """Rewrite the selected words or the paragraph at the cursor."""
        self.side_by_side.dismiss()
        self.selection_tools.rewrite(*self.editor.selection())

    def find_word(self) -> None:
        """Suggest words for the selection or for the gap at the cursor."""
        self.side_by_side.dismiss()
        self.selection_tools.find_word(*self.editor.selection())

    def repaint_nearest(self) -> None:
        """Update the outdated illustration nearest to the cursor."""
        self.illustrations.repaint_nearest(self.editor.cursor_position())

    def export(self) -> None:
        """Ask for a file, and export the page to it."""
        open_export_dialog(self.window(), self.page.text, self.illustrations.export)

    def toggle_find(self) -> None:
        on = self.find_bar.isHidden()
        self.find_bar.setVisible(on)
        self.find_button.setChecked(on)
        if on:
            self.side_by_side.dismiss()
            start, end = self.editor.selection()
            self.find_bar.set_text(self.editor.text, start)
            self.find_bar.start(self.editor.text[start:end])
        else:
            self.editor.highlight_matches([])
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
        elif self.page.jobs.is_writing:
            self.stop_requested.emit()

    # What is shown
    def _open(self) -> None:
        self._shown = None
        self.word_alternatives.close()
        self.gap_suggestions.close()
        self.editor.setReadOnly(not self.page.is_ready)
        self._show()

    def _show(self) -> None:
        page = self.page
        node = page.tree.nodes[page.tree.current]
        if node is not self._shown:
            self._shown = node
            self.word_alternatives.close()
            self.gap_suggestions.close()
            self.editor.show_runs(page.runs)
            if not self.find_bar.isHidden():
                self.find_bar.set_text(self.editor.text, self.editor.cursor_position())
            if self.isVisible() and not self._count_timer.isActive():
                self._count_timer.start()
        self.page_bar.show_page(page)

    def _on_text_edited(self, at: int, removed: int, text: str) -> None:
        self.page.cursor = self.editor.cursor_position()
        self.page.write(at, removed, text)

    def _put_cursor(self, at: int) -> None:
        self._show()
        self.editor.put_cursor(at)

    def _count(self) -> None:
        count = self._word_count(self.editor.text)
        self.page_bar.count.setText("1 word" if count == 1 else f"{group_digits(count)} words")

    def _open_menu(self, menu: QMenu, at: QPoint) -> None:
        """Open the context menu, with the page's commands above the editor's."""
        first = menu.actions()[0] if menu.actions() else None
        steps = {
            "edit-undo": (self.page.undo, self.page.tree.can_undo),
            "edit-redo": (self.page.redo, self.page.tree.can_redo),
        }
        for action in menu.actions():
            if action.objectName() in steps:
                step, possible = steps[action.objectName()]
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
        waiting = menu.addAction("Loading…")
        waiting.setEnabled(False)

        def fill(infos: list[PageInfo]) -> None:
            if waiting not in menu.actions():  # The menu was opened again.
                return
            menu.removeAction(waiting)
            for info in infos[:MAX_PAGES]:
                action = menu.addAction((info.opening or "Empty page").replace("&", "&&"))
                action.setCheckable(True)
                action.setChecked(info.id == self.page.page_id)
                action.triggered.connect(lambda _=False, id=info.id: self.page.open_page(id))

        self.page.list_pages(fill)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the tool bar and the panels over the editor."""
        if watched is self.editor and event.type() in (QEvent.Type.Resize, QEvent.Type.Move):
            editor = self.editor.geometry()
            self.tool_bar.adjustSize()
            self.tool_bar.move((editor.width() - self.tool_bar.width()) // 2, GAP)
            self.side_by_side.setGeometry(editor)
            width = self.revisions_panel.width()
            self.revisions_panel.setGeometry(self.width() - width, editor.top(), width, editor.height())
        return super().eventFilter(watched, event)

    def _make_room(self) -> None:
        """Place the versions beside the editor, or over it if the view is narrow."""
        is_beside = not self.revisions_panel.isHidden() and self.width() >= WIDE
        self._body.setContentsMargins(0, 0, self.revisions_panel.width() if is_beside else 0, 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._make_room()
        self.find_bar.set_narrow(self.width() < WIDE)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._count()

    def hideEvent(self, event: QHideEvent) -> None:
        self._count_timer.stop()
        super().hideEvent(event)


class PageBar(QWidget):
    """The bar below the page: alternatives at the left, undo and word count at the right."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(52)
        self.previous_button = _make_icon_button(
            "chevron-left", "Previous alternative", "Previous alternative (Alt+Left)"
        )
        self.next_button = _make_icon_button("chevron-right", "Next alternative", "Next alternative (Alt+Right)")
        self.position_label = labels.make_label("", "dim")
        self.side_by_side_button = _make_icon_button(
            "view-column-outline", "Alternatives side by side", "Show all alternatives side by side (Alt+S)"
        )
        self.side_by_side_button.setCheckable(True)
        self.regenerate_button = QPushButton()
        labels.describe(
            self.regenerate_button,
            "Regenerate",
            "Write another alternative of the passage at the cursor (Ctrl+Shift+Enter)",
        )
        self.stop_button = QPushButton("Stop")
        labels.describe(self.stop_button, "Stop writing", "Stop writing and keep the text so far (Esc)")
        self.state = labels.make_label("", "dim")
        self.undo = _make_icon_button("undo", "Undo writing", "Undo (Ctrl+Z)")
        self.redo = _make_icon_button("redo", "Redo writing", "Redo (Ctrl+Shift+Z)")
        self.count = labels.make_label("0 words", "caption")
        self.count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.count.setMinimumWidth(72)
        row = self._row = QHBoxLayout(self)
        row.setSpacing(8)
        for widget in (
            self.previous_button,
            self.position_label,
            self.next_button,
            self.side_by_side_button,
            self.regenerate_button,
        ):
            row.addWidget(widget)
        row.addSpacing(8)
        row.addWidget(self.state)
        row.addWidget(self.stop_button)
        row.addStretch(1)
        for widget in (self.undo, self.redo, self.count):
            row.addWidget(widget)

    def show_page(self, page: Page) -> None:
        number, of = page.alternatives
        for widget in (self.previous_button, self.position_label, self.next_button):
            widget.setVisible(of > 1)
        self.position_label.setText(f"{number} of {of}")
        self.side_by_side_button.setVisible(page.has_alternatives)
        self.regenerate_button.setVisible(of > 0 and not page.jobs.is_writing)
        self.stop_button.setVisible(page.jobs.is_writing)
        self.state.setText(_describe_state(page))
        self.undo.setEnabled(page.tree.can_undo)
        self.redo.setEnabled(page.tree.can_redo)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Replace texts by icons if the bar is narrow."""
        super().resizeEvent(event)
        narrow = self.width() < WIDE
        self._row.setContentsMargins(8 if narrow else 16, 0, 8 if narrow else 16, 0)
        self.regenerate_button.setText("" if narrow else "Regenerate")
        self.regenerate_button.setIcon(icons.icon("refresh", "text") if narrow else QIcon())
        self.state.setVisible(not narrow)
        self.count.setVisible(not narrow)


def _describe_state(page: Page) -> str:
    if page.jobs.streaming:
        return "Writing…"
    if page.jobs.writes_elsewhere:
        return "Writing an alternative…"
    return "Waiting to write…" if page.jobs.is_writing else ""


def _make_tool_button(text: str, hint: str) -> QPushButton:
    button = QPushButton(text)
    button.setProperty("role", "ghost")
    button.setCheckable(True)
    labels.describe(button, text, hint)
    return button


def _make_icon_button(icon: str, name: str, hint: str) -> QToolButton:
    button = QToolButton()
    button.setProperty("role", "ghost")
    button.setIcon(icons.icon(icon, "text"))
    button.setIconSize(QSize(18, 18))
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    labels.describe(button, name, hint)
    return button
