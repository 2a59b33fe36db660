"""The process of `test_page_kills`: for each folder on standard input a child types on its page until it is killed.

The child reports its process id, and for each key the time and the number of keys pressed so far.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QTimer

from studio.library.pages.store import PageStore
from studio.state.form.workspace import Workspace
from studio.state.notices import Notices
from studio.state.page.page import Page
from studio.state.tasks import Tasks

KEY_MS = 7


def type_keys(folder: Path, report: int) -> None:
    app = QCoreApplication([])
    notices = Notices()
    page = Page(PageStore(folder), Workspace(), notices, Tasks("page", on_error=notices.report))
    keys = 0

    def press() -> None:
        nonlocal keys
        keys += 1
        page.write(len(page.text), 0, "\n" if keys % 50 == 0 else "狐" if keys % 7 == 0 else "x")
        os.write(report, f"{time.monotonic()} {keys}\n".encode())

    timer = QTimer(interval=KEY_MS)
    timer.timeout.connect(press)
    page.opened.connect(timer.start)
    page.open_last()
    app.exec()


def main() -> None:
    for line in sys.stdin:
        reader, report = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(reader)
                os.write(report, f"{os.getpid()}\n".encode())
                type_keys(Path(line.strip()), report)
            finally:
                os._exit(9)
        os.close(report)
        while chunk := os.read(reader, 65536):
            sys.stdout.write(chunk.decode())
            sys.stdout.flush()
        os.waitpid(child, 0)
        os.close(reader)
        sys.stdout.write("gone\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
