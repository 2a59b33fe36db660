"""Fixtures: a window with a real library and a fake engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import shiboken6
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from studio.core.paths import Home
from studio.core.settings import Settings
from studio.library.library import Library
from studio.state.session import Session
from studio.ui.page import PageView
from studio.ui.theme import theme
from studio.ui.window.window import Window
from tests.fixtures.engine import FakeEngine
from tests.fixtures.session import engine, picture, pictures, session

__all__ = ["engine", "picture", "pictures", "session"]


@pytest.fixture(scope="session", autouse=True)
def apply_theme(qapp: QApplication) -> None:
    theme.apply(qapp)


@pytest.fixture
def page_view(qtbot: QtBot, window: Window) -> PageView:
    """The page view, with the focus and the engine's writing tool."""
    window.session.page.choose_tool()
    qtbot.waitUntil(lambda: window.session.page.is_ready)
    window.activateWindow()
    window.central.page_view.editor.setFocus()
    return window.central.page_view


@pytest.fixture
def window(qtbot: QtBot, home: Home, engine: FakeEngine) -> Iterator[Window]:
    """A visible window with an open library."""
    session = Session(home, engine, Library(home), Settings())
    session.begin()
    window = Window(session)
    window.painted.connect(session.start)
    window.resize(1440, 900)
    with qtbot.waitSignal(session.library_ready):
        window.show()
    yield window
    window.close()
    QApplication.processEvents()  # deliver pending events
    shiboken6.delete(window)  # otherwise each change of the theme restyles the windows of all earlier tests
