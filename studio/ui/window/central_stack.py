"""The middle of the window: the canvas or the page of text."""

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
    """Show the page while a tool that works on text is chosen, otherwise the canvas.

    `page_actions` are the window's commands in the page's context menu.
    """

    def __init__(self, session: Session, canvas: Canvas, thumbnails: ThumbnailLoader) -> None:
        super().__init__()
        self._session = session
        self.canvas = canvas
        self._thumbnails = thumbnails
        self.page_actions: list[QAction] = []
        self.back = QPushButton(icons.icon("arrow-left", "text"), "Back to page")
        labels.describe(self.back, "Back to page", "Show the page of text")
        back_bar = QWidget()
        back_bar.setProperty("role", "bar")
        back_bar.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        row = QHBoxLayout(back_bar)
        row.setContentsMargins(16, 8, 16, 8)
        row.addWidget(self.back)
        row.addStretch(1)
        self._back_bar = back_bar
        canvas_view = QWidget()
        column = QVBoxLayout(canvas_view)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(canvas, 1)
        column.addWidget(back_bar)
        self._canvas_view = canvas_view
        self._views = QStackedLayout(self)
        self._views.addWidget(canvas_view)
        self.back.clicked.connect(self.show_page)
        session.workspace.tool_changed.connect(self.show_for_tool)
        session.generation.submitting.connect(self.show_for_tool)
        session.page.opened.connect(lambda: None if self.is_page else self.show_for_tool())

    @cached_property
    def page_view(self) -> PageView:
        """The page, built at first use, so that the window opens sooner."""
        from studio.ui.page import PageView

        session = self._session
        page, alternatives, estimates = session.page, session.alternatives, session.estimates
        view = PageView(page, session.illustrations, alternatives, session.selection_tools, estimates, self._thumbnails)
        view.addActions(self.page_actions)
        view.continue_requested.connect(lambda: self._write())
        view.regenerate_requested.connect(lambda: self._write(new_seed=True))
        view.notified.connect(session.notices.info)
        view.illustrations_bar.opened.connect(session.open)
        view.stop_requested.connect(session.stop_writing)
        self._views.addWidget(view)
        return view

    @property
    def is_page(self) -> bool:
        return self._views.currentWidget() is not self._canvas_view

    def focus(self) -> None:
        (self.page_view if self.is_page else self.canvas).setFocus()

    def show_for_tool(self) -> None:
        """Show the page or the canvas, whichever the tool in the form works on."""
        page = self._session.page
        if page.has_writing_tool:
            self.page_view.editor.set_hint(page.tool_help)
        if page.has_tool:
            self.show_page()
        else:
            self.show_canvas()

    def show_page(self) -> None:
        if not self.is_page:
            self._show(self.page_view)

    def open_page(self) -> None:
        """Show the page, and choose a tool that writes on it."""
        if not self._session.page.has_tool:
            self._session.page.choose_tool()
        self.show_page()
        self.focus()

    def _write(self, *, new_seed: bool = False) -> None:
        """Write with the tool in the form, or with the default writing tool if that one does not write."""
        self._session.page.choose_tool()
        self._session.generation.generate(new_seed=new_seed)

    def show_canvas(self) -> None:
        self._back_bar.setVisible(self._session.page.has_tool)
        if self.is_page:
            self._show(self._canvas_view)

    def _show(self, widget: QWidget) -> None:
        """Switch the view, and keep the focus in it: Qt would move it from a hidden widget to any other."""
        focused = QApplication.focusWidget()
        had_focus = focused is not None and self.isAncestorOf(focused)
        self._views.setCurrentWidget(widget)
        if had_focus:
            self.focus()

    def step(self, by: int) -> None:
        """Step by so many alternatives on the page, or variations on the canvas."""
        if self.is_page:
            self._session.page.step_alternative(by)
        else:
            self._session.variations.step(by)
