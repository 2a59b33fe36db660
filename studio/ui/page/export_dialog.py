"""The dialog that exports the page to a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QWidget

MAX_NAME_LENGTH = 40
"""Largest number of characters of the suggested file name."""
_WORD = re.compile(r"[\w'’-]+")


def open_export_dialog(window: QWidget, text: str, save: Callable[[Path], None]) -> QFileDialog:
    """Ask for a file and a format, then call `save`. The format's extension is added before Qt asks to overwrite."""
    from studio.library.pages.export import FORMATS  # not needed for the window to open

    dialog = QFileDialog(window, "Export page", str(Path.home() / suggest_file_name(text)))
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
    """Return a file name without extension from the first words of the page."""
    name = ""
    for word in _WORD.findall(text.strip().partition("\n")[0][: 4 * MAX_NAME_LENGTH]):
        if len(name) + len(word) >= MAX_NAME_LENGTH:
            break
        name = f"{name} {word}".strip()
    return name or "Page"
