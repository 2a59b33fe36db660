"""Exporting a page to a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from studio.ui.page.export_dialog import open_export_dialog, suggest_file_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("The red fox ran home. It was a sunny day in May.\nMore.", "The red fox ran home It was a sunny day"),
        ("  ../etc: Mr. Fox?", "etc Mr Fox"),
        ("狐が走った。\n", "狐が走った"),
        ("مرحبا بالعالم", "مرحبا بالعالم"),
        ("x" * 500, "Page"),
        ("🦊\n", "Page"),
        ("", "Page"),
    ],
)
def test_the_first_words_are_suggested_as_file_name(text: str, name: str) -> None:
    assert suggest_file_name(text) == name


def test_a_file_name_gets_the_extension_of_its_format(qtbot: QtBot, tmp_path: Path) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    saved: list[Path] = []
    dialog = open_export_dialog(window, "A fox.", saved.append)
    assert Path(dialog.selectedFiles()[0]).name == "A fox.md"
    dialog.setDirectory(str(tmp_path))
    dialog.filterSelected.emit("Word (*.docx)")
    dialog.selectFile("tale")
    dialog.accept()
    assert saved == [tmp_path / "tale.docx"]
