"""A window on a real library, with an engine that does what the test says."""

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
def dressed(qapp: QApplication) -> None:
    theme.apply(qapp)


@pytest.fixture
def page_view(qtbot: QtBot, window: Window) -> PageView:
    """The page, to be written on with the engine's tool for it."""
    window.session.page.choose_tool()
    qtbot.waitUntil(lambda: window.session.page.ready)
    window.activateWindow()
    window.central.page_view.editor.setFocus()
    return window.central.page_view


@pytest.fixture
def window(qtbot: QtBot, home: Home, engine: FakeEngine) -> Iterator[Window]:
    """Shown and painted, the library open."""
    session = Session(home, engine, Library(home), Settings())
    session.begin()
    made = Window(session)
    made.painted.connect(session.start)
    made.resize(1440, 900)
    with qtbot.waitSignal(session.library_ready):
        made.show()
    yield made
    made.close()
    QApplication.processEvents()  # What was done until then is still delivered.
    shiboken6.delete(made)  # Otherwise each change of the theme dresses the windows of all tests before.
