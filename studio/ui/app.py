"""Entry point of the window process."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from studio.core import settings
from studio.core.errors import StudioError
from studio.core.notices import NoticeLevel
from studio.core.paths import Home
from studio.launcher.system import find_display_problem

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from studio.ui.window.window import Window

LOG_BYTES = 1 << 20


def main(home: Home | None = None, device: str = "") -> int:
    """Open the window and return the exit status when it is closed; 2 if there is no display.

    `device` overrides the device of the settings until the window is closed.
    """
    if problem := find_display_problem():
        print(problem, file=sys.stderr)  # noqa: T201
        return 2
    from PySide6.QtWidgets import QApplication

    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    try:
        window = open_window(app, home or Home.default(), device)
    except StudioError as error:
        return _show_error(app, str(error))
    window.painted.connect(lambda: _log_to_file(window.session.home))
    window.painted.connect(window.session.start)
    window.show()
    return app.exec()


def open_window(app: QApplication, home: Home, device: str = "") -> Window:
    """Build the window with its engine, library and session. Nothing slow is started.

    Raises StudioError if the home cannot be used or another window uses it.
    """
    from msgspec.structs import replace

    from studio.engine.local_engine import LocalEngine
    from studio.library.library import Library
    from studio.state.notices import Notice
    from studio.state.session import Session
    from studio.ui.theme import theme
    from studio.ui.window.window import Window

    app.setApplicationName("Studio")
    app.setDesktopFileName("studio")
    stored, problems = settings.load_with_problems(home.settings)
    theme.prepare(app, stored.theme)
    library = Library(home)
    effective = replace(stored, device=device) if device else stored
    engine = LocalEngine(library.home, library, effective, durable=not home.is_read_only)
    session = Session(home, engine, library, stored)
    session.begin()
    if home.is_read_only:
        sentence = f"{home.root} is read-only: everything in it can be looked at, and nothing can be saved."
        session.notices.add(Notice(sentence, NoticeLevel.WARNING))
    for problem in problems:
        session.notices.add(Notice(problem, NoticeLevel.WARNING))
    window = Window(session)
    theme.apply(app, stored.theme)
    _install_exception_hooks(session.notices.report)
    return window


def _show_error(app: QApplication, sentence: str) -> int:
    """Show the error in a dialog, because there is no window."""
    from PySide6.QtCore import Qt
    from PySide6.QtWidgets import QMessageBox

    from studio.ui.theme import theme

    print(sentence, file=sys.stderr)  # noqa: T201
    theme.apply(app)
    box = QMessageBox(QMessageBox.Icon.NoIcon, "Studio", sentence)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.exec()
    return 1


def _log_to_file(home: Home) -> None:
    """Write warnings and errors of this process to a rotating log file."""
    if home.is_read_only:
        return
    home.logs.mkdir(parents=True, exist_ok=True)
    import logging.handlers

    handler = logging.handlers.RotatingFileHandler(
        home.logs / "window.log", maxBytes=LOG_BYTES, backupCount=1, delay=True, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)


def _install_exception_hooks(report: object) -> None:
    """Log uncaught exceptions of all threads, and pass them to `report` on the window's thread."""
    assert callable(report)
    from PySide6.QtCore import QObject, Qt, Signal

    class Reporter(QObject):
        raised = Signal(object)

    reporter = Reporter()
    reporter.raised.connect(report, Qt.ConnectionType.QueuedConnection)
    logger = logging.getLogger("studio.window")

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        logger.error("uncaught exception", exc_info=(kind, error, trace))
        reporter.raised.emit(error)

    def thread_hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            hook(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)

    sys.excepthook = hook
    threading.excepthook = thread_hook


if __name__ == "__main__":
    sys.exit(main())
