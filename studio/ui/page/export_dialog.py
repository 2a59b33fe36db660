"""Asks where the page is to be saved, and in which format."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QWidget

LONGEST = 40
"""Characters of the name that is offered."""
_WORD = re.compile(r"[\w'’-]+")


def open_export_dialog(window: QWidget, text: str, save: Callable[[Path], None]) -> QFileDialog:
    """A dialog; what is typed without an ending gets that of the format, before it asks about a file that is there."""
    from studio.library.pages.export import FORMATS  # not needed for the window to open

    dialog = QFileDialog(window, "Save the page as", str(Path.home() / suggest_file_name(text)))
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    endings = {f"{title} (*{ending})": ending.removeprefix(".") for ending, title in FORMATS.items()}
    dialog.setNameFilters([*endings])
    dialog.setDefaultSuffix(next(iter(endings.values())))
    dialog.filterSelected.connect(lambda chosen: dialog.setDefaultSuffix(endings[chosen]))
    dialog.fileSelected.connect(lambda chosen: save(Path(chosen)))
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()
    return dialog


def suggest_file_name(text: str) -> str:
    """The first words of the page, as the name of a file without its ending."""
    name = ""
    for word in _WORD.findall(text.strip().partition("\n")[0][: 4 * LONGEST]):
        if len(name) + len(word) >= LONGEST:
            break
        name = f"{name} {word}".strip()
    return name or "Page"
