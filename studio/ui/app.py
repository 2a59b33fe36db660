"""The window's process: from nothing to a window that can be used, as fast as can be."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from studio.core import settings as settings_file
from studio.core.errors import StudioError
from studio.core.paths import Home
from studio.launcher.system import display_problem

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from studio.ui.window.window import Window

LOG_BYTES = 1 << 20


def main(home: Home | None = None, device: str = "") -> int:
    """Opens the window and returns the exit status once it is closed; 2 where there is no display.

    `device` takes the place of the one in the settings, for this sitting.
    """
    if problem := display_problem():
        print(problem, file=sys.stderr)  # noqa: T201
        return 2
    from PySide6.QtWidgets import QApplication

    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    try:
        window = open_window(app, home or Home.default(), device)
    except StudioError as error:
        return _only_say(app, str(error))
    window.painted.connect(lambda: _keep_log(window.session.home))
    window.painted.connect(window.session.start)
    window.show()
    return app.exec()


def open_window(app: QApplication, home: Home, device: str = "") -> Window:
    """The window with all that it stands on; nothing that is slow has begun.

    Raises StudioError when the home cannot be used, or another window has it.
    """
    from msgspec.structs import replace

    from studio.engine.local_engine import LocalEngine
    from studio.library.library import Library
    from studio.state.session import Session
    from studio.ui.theme import theme
    from studio.ui.window.window import Window

    app.setApplicationName("Studio")
    app.setDesktopFileName("studio")
    settings = settings_file.load(home.settings)
    theme.prepare(app, settings.theme)
    library = Library(home)
    engine = LocalEngine(home, library, replace(settings, device=device) if device else settings)
    session = Session(home, engine, library, settings)
    session.begin()
    window = Window(session)
    theme.apply(app, settings.theme)
    _catch_all(session.work.crashed)
    return window


def _only_say(app: QApplication, sentence: str) -> int:
    """There is no window to say it in, so a dialog does."""
    from PySide6.QtCore import Qt
    from PySide6.QtWidgets import QMessageBox

    from studio.ui.theme import theme

    print(sentence, file=sys.stderr)  # noqa: T201
    theme.apply(app)
    box = QMessageBox(QMessageBox.Icon.NoIcon, "Studio", sentence)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.exec()
    return 1


def _keep_log(home: Home) -> None:
    """Warnings and worse of the window's process go to a file that does not grow for ever."""
    home.logs.mkdir(parents=True, exist_ok=True)
    import logging.handlers

    handler = logging.handlers.RotatingFileHandler(
        home.logs / "window.log", maxBytes=LOG_BYTES, backupCount=1, delay=True, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)


def _catch_all(say: object) -> None:
    """An exception that nobody expected is logged and said; the window stays."""
    assert callable(say)
    from PySide6.QtCore import QObject, Qt, Signal

    class Herald(QObject):
        heard = Signal(object)

    herald = Herald()
    herald.heard.connect(say, Qt.ConnectionType.QueuedConnection)
    logger = logging.getLogger("studio.window")

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        logger.error("unexpected", exc_info=(kind, error, trace))
        herald.heard.emit(error)

    def thread_hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            hook(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)

    sys.excepthook = hook
    threading.excepthook = thread_hook


if __name__ == "__main__":
    sys.exit(main())
