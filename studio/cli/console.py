"""The output of commands: text for people, or one JSON object per line."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from studio.core.errors import FailureKind, StudioError
from studio.core.messages import replace_surrogates
from studio.core.notices import NoticeLevel

_LONG_WORD = re.compile(r"\S{400,}")


class OutputError(StudioError):
    """Standard output cannot be written."""

    kind = FailureKind.CANNOT_WRITE


class Console:
    """Results go to standard output; errors, notices and the progress bar to standard error."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self._has_bar = False
        self._streamed = ""

    def print_line(self, text: str) -> None:
        """Print a line of a result; nothing with `--json`."""
        if not self.json:
            self._write(text)

    def emit(self, value: object) -> None:
        """Print an object as JSON with `--json`."""
        if self.json:
            self._write(msgspec.json.encode(_make_valid(value)).decode())

    def emit_event(self, name: str, **values: object) -> None:
        self.emit({"event": name, **values})

    def print_note(self, text: str, level: NoticeLevel = NoticeLevel.INFO) -> None:
        """Print a notice on standard error, or as a `notice` event."""
        self.emit_event("notice", text=text, level=level)
        if not self.json:
            self._write_error(text)

    def print_warning(self, text: str) -> None:
        """Print a sentence about the studio itself on standard error, also with `--json`."""
        self._write_error(text)

    def report_failure(self, kind: FailureKind, sentence: str, **more: object) -> None:
        self.emit_event("failed", kind=kind, sentence=_shorten_words(sentence), **more)
        if not self.json:
            self._write_error(sentence)

    def show_bar(self, fraction: float | None, text: str) -> None:
        """Draw the progress bar. `fraction` is 0..1, or None if the end is unknown."""
        if self.json or self._streamed or not sys.stderr.isatty():
            return
        full = 24
        done = 0 if fraction is None else round(full * min(max(fraction, 0.0), 1.0))
        per_cent = "    " if fraction is None else f"{fraction:4.0%}"
        line = f"{'█' * done}{'░' * (full - done)} {per_cent}  {to_printable(text)}"
        width = shutil.get_terminal_size().columns
        sys.stderr.write("\r\x1b[K" + _to_encodable(line[: width - 1], sys.stderr.encoding))
        sys.stderr.flush()
        self._has_bar = True

    def stream_text(self, text: str) -> None:
        """Print a growing text on a terminal. Only new characters are written, and the bar is hidden meanwhile."""
        if self.json or not text or not sys.stdout.isatty():
            return
        if not text.startswith(self._streamed):
            self._end_stream()
        new = text[len(self._streamed) :]
        if not self._streamed:
            self.clear_bar()
        self._streamed = text
        sys.stdout.write(_to_encodable("\n".join(map(to_printable, new.split("\n"))), sys.stdout.encoding))
        sys.stdout.flush()

    def _end_stream(self) -> None:
        if self._streamed:
            self._streamed = ""
            sys.stdout.write("\n")
            sys.stdout.flush()

    def clear_bar(self) -> None:
        self._end_stream()
        if self._has_bar:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._has_bar = False

    def print_table(self, rows: Iterable[Sequence[str]]) -> None:
        """Print rows in columns as wide as their content. The last column may be longer than the line."""
        lines = [[to_printable(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
        for line in lines:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
            self.print_line("  ".join([*cells, line[-1]]).rstrip())

    def _write(self, text: str) -> None:
        self.clear_bar()
        try:
            sys.stdout.write(_to_encodable(text, sys.stdout.encoding) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"The output cannot be written: {error.strerror or error}.") from error

    def _write_error(self, text: str) -> None:
        with suppress(OSError):  # nobody reads it
            self.clear_bar()
            sys.stderr.write(_to_encodable(to_printable(_shorten_words(text)), sys.stderr.encoding) + "\n")
            sys.stderr.flush()


def to_printable(text: str) -> str:
    """Replace control characters by spaces, since metadata of foreign files must not control the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def replace_closed_streams() -> None:
    """Write to nowhere where standard output or error was closed before the start."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def silence_output() -> None:
    """Drop what standard output and error still hold, so that Python does not fail when it flushes them at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _make_valid(value: object) -> object:
    """Replace lone surrogates in the texts of a value, as names of files may have them."""
    builtins = msgspec.to_builtins(value, str_keys=True)
    try:
        msgspec.json.encode(builtins)
    except UnicodeEncodeError:
        return replace_surrogates(builtins)
    return builtins


def _shorten_words(text: str) -> str:
    """Leave out the middle of words that no screen holds, such as a number of a thousand digits."""
    return _LONG_WORD.sub(lambda word: f"{word[0][:60]}…{word[0][-20:]}", text)


def _to_encodable(text: str, encoding: str | None) -> str:
    """Replace characters that the terminal's encoding lacks by question marks."""
    return text.encode(encoding or "utf-8", "replace").decode(encoding or "utf-8")
