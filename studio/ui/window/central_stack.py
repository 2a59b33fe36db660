"""What stands in the middle of the window: the canvas, or the page of text in its place."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QHBoxLayout, QPushButton, QStackedLayout, QVBoxLayout, QWidget

from studio.state.session import Session
from studio.ui.canvas import Canvas
from studio.ui.theme import icons
from studio.ui.widgets import labels
from studio.ui.widgets.thumbnail_loader import ThumbnailLoader

if TYPE_CHECKING:
    from studio.ui.page import PageView


class CentralStack(QWidget):
    """The page while a tool that works on its words is chosen, until something else is looked at.

    `page_actions` are the window's commands that the page offers where the cursor is.
    """

    def __init__(self, session: Session, canvas: Canvas, thumbnails: ThumbnailLoader) -> None:
        super().__init__()
        self._session = session
        self.canvas = canvas
        self._thumbnails = thumbnails
        self.page_actions: list[QAction] = []
        self.back = QPushButton(icons.icon("arrow-left", "text"), "Back to the page")
        labels.describe(self.back, "Back to the page", "The page of text that you write on")
        strip = QWidget()
        strip.setProperty("role", "bar")
        strip.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        row = QHBoxLayout(strip)
        row.setContentsMargins(16, 8, 16, 8)
        row.addWidget(self.back)
        row.addStretch(1)
        self._strip = strip
        looking = QWidget()
        column = QVBoxLayout(looking)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(canvas, 1)
        column.addWidget(strip)
        self._looking = looking
        self._pages = QStackedLayout(self)
        self._pages.addWidget(looking)
        self.back.clicked.connect(self.show_page)
        session.workspace.tool_changed.connect(self.follow)
        session.making.submitting.connect(self.follow)
        session.page.opened.connect(lambda: None if self.is_page else self.follow())

    @cached_property
    def page_view(self) -> PageView:
        """Made when it is first asked for: the studio opens sooner, and mostly for pictures."""
        from studio.ui.page import PageView

        session = self._session
        page, alternatives, estimates = session.page, session.alternatives, session.estimates
        view = PageView(page, session.illustrating, alternatives, session.on_words, estimates, self._thumbnails)
        view.addActions(self.page_actions)
        view.continue_requested.connect(lambda: self._write())
        view.regenerate_requested.connect(lambda: self._write(new_seed=True))
        view.notified.connect(session.notices.info)
        view.illustrations_bar.opened.connect(session.open)
        view.stop_requested.connect(session.stop_writing)
        self._pages.addWidget(view)
        return view

    @property
    def is_page(self) -> bool:
        return self._pages.currentWidget() is not self._looking

    def focus(self) -> None:
        (self.page_view if self.is_page else self.canvas).setFocus()

    def follow(self) -> None:
        """Shows what the tool in the form works on."""
        page = self._session.page
        if page.writes:
            self.page_view.editor.tell(page.about)
        if page.is_worked_on:
            self.show_page()
        else:
            self.show_canvas()

    def show_page(self) -> None:
        if not self.is_page:
            self._show(self.page_view)

    def open_page(self) -> None:
        """Shows the page to be worked on: the tool in the form is one for it, and Generate writes."""
        if not self._session.page.is_worked_on:
            self._session.page.choose_tool()
        self.show_page()
        self.focus()

    def _write(self, *, new_seed: bool = False) -> None:
        """With the tool in the form if it writes on the page, else with the one that does."""
        self._session.page.choose_tool()
        self._session.making.generate(new_seed=new_seed)

    def show_canvas(self) -> None:
        self._strip.setVisible(self._session.page.is_worked_on)
        if self.is_page:
            self._show(self._looking)

    def _show(self, widget: QWidget) -> None:
        """The focus goes along: what has it and is hidden would give it to whatever comes next."""
        focused = QApplication.focusWidget()
        goes_along = focused is not None and self.isAncestorOf(focused)
        self._pages.setCurrentWidget(widget)
        if goes_along:
            self.focus()

    def step(self, by: int) -> None:
        """To the next alternative on the page, or the next variation."""
        if self.is_page:
            self._session.page.step(by)
        else:
            self._session.variations.step(by)
