"""The user guide lists the keys of the window."""

from __future__ import annotations

import re
from pathlib import Path

from studio.ui.window.window import Window

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "user-guide.md"


def test_every_command_with_a_key_is_in_the_guide(window: Window) -> None:
    table = GUIDE.read_text("utf-8").partition("### Keys")[2].partition("\n#")[0]
    listed = {key for row in re.findall(r"^\| (.+?) \|", table, re.MULTILINE) for key in re.split(r", | or ", row)}
    keys = {action.shortcut().toString() for action in window.commands.actions()} - {""}
    assert keys <= listed
