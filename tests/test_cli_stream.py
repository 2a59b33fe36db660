"""A growing text is printed on a terminal as it arrives."""

from __future__ import annotations

import io
import sys

import pytest

from studio.cli.console import Console


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Replace standard output and error by a terminal."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def test_only_new_text_is_written_without_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    console = Console(json=False)
    for text in ("Once", "Once a fox", "Once a fox\nran."):
        console.stream_text(text)
        console.show_bar(0.5, "Writing")
    console.print_line("/a/file.md")
    console.show_bar(0.5, "Another")
    before, _, after = terminal.getvalue().partition("/a/file.md\n")
    assert before == "Once a fox\nran.\n"
    assert "Another" in after


def test_another_text_begins_on_a_new_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    console = Console(json=False)
    console.stream_text("One.")
    console.stream_text("Two.")
    console.clear_bar()
    assert terminal.getvalue() == "One.\nTwo.\n"


def test_control_characters_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    Console(json=False).stream_text("a\x1b[31mb\r")
    assert terminal.getvalue() == "a [31mb "


def test_json_output_has_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    Console(json=True).stream_text("Once")
    assert terminal.getvalue() == ""


def test_a_pipe_has_no_stream(capsys: pytest.CaptureFixture[str]) -> None:
    Console(json=False).stream_text("Once")
    assert capsys.readouterr().out == ""
