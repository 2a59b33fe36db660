"""A text that grows is shown on a terminal as it comes."""

from __future__ import annotations

import io
import sys

import pytest

from studio.cli.console import Console


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard output and error, from here on."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def test_only_what_is_new_is_written_and_no_bar_disturbs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = shown(monkeypatch)
    console = Console(json=False)
    for text in ("Once", "Once a fox", "Once a fox\nran."):
        console.stream(text)
        console.bar(0.5, "Writing")
    console.say("/a/file.md")
    console.bar(0.5, "Another")
    before, _, after = terminal.getvalue().partition("/a/file.md\n")
    assert before == "Once a fox\nran.\n"
    assert "Another" in after


def test_another_text_begins_on_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = shown(monkeypatch)
    console = Console(json=False)
    console.stream("One.")
    console.stream("Two.")
    console.end_bar()
    assert terminal.getvalue() == "One.\nTwo.\n"


def test_what_would_steer_the_terminal_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = shown(monkeypatch)
    Console(json=False).stream("a\x1b[31mb\r")
    assert terminal.getvalue() == "a [31mb "


def test_programs_and_files_see_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = shown(monkeypatch)
    Console(json=True).stream("Once")
    assert terminal.getvalue() == ""


def test_a_pipe_sees_none_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    Console(json=False).stream("Once")
    assert capsys.readouterr().out == ""
