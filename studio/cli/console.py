"""What the commands print: words for people, or one JSON object per line."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from studio.core.errors import FailureKind
from studio.core.notices import NoticeLevel


class Console:
    """Results go to standard output; errors, notices and the progress bar to standard error."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self._bar = False
        self._streamed = ""

    def say(self, text: str) -> None:
        """A line of a result, for people."""
        if not self.json:
            self._write(text)

    def emit(self, value: Any) -> None:
        """One object, for programs."""
        if self.json:
            self._write(msgspec.json.encode(value).decode())

    def event(self, name: str, **values: Any) -> None:
        self.emit({"event": name, **values})

    def note(self, text: str, level: NoticeLevel = NoticeLevel.INFO) -> None:
        """What is worth knowing beside the result."""
        self.event("notice", text=text, level=level)
        if not self.json:
            self._aside(text)

    def failed(self, kind: FailureKind, sentence: str, **more: Any) -> None:
        self.event("failed", kind=kind, sentence=sentence, **more)
        if not self.json:
            self._aside(sentence)

    def bar(self, share: float | None, text: str) -> None:
        """Draws the progress bar over itself. `share` is 0..1, or None where the end is not known."""
        if self.json or self._streamed or not sys.stderr.isatty():
            return
        full = 24
        done = 0 if share is None else round(full * min(max(share, 0.0), 1.0))
        per_cent = "    " if share is None else f"{share:4.0%}"
        line = f"{'█' * done}{'░' * (full - done)} {per_cent}  {printable(text)}"
        width = shutil.get_terminal_size().columns
        sys.stderr.write("\r\x1b[K" + _encodable(line[: width - 1], sys.stderr.encoding))
        sys.stderr.flush()
        self._bar = True

    def stream(self, text: str) -> None:
        """Shows a text that grows, on a terminal: only what is new is written, and no bar meanwhile."""
        if self.json or not text or not sys.stdout.isatty():
            return
        if not text.startswith(self._streamed):
            self._end_stream()
        new = text[len(self._streamed) :]
        if not self._streamed:
            self.end_bar()
        self._streamed = text
        sys.stdout.write(_encodable("\n".join(map(printable, new.split("\n"))), sys.stdout.encoding))
        sys.stdout.flush()

    def _end_stream(self) -> None:
        if self._streamed:
            self._streamed = ""
            sys.stdout.write("\n")
            sys.stdout.flush()

    def end_bar(self) -> None:
        self._end_stream()
        if self._bar:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._bar = False

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """Columns as wide as what stands in them; the last one may run on."""
        lines = [[printable(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
        for line in lines:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
            self.say("  ".join([*cells, line[-1]]).rstrip())

    def _write(self, text: str) -> None:
        self.end_bar()
        sys.stdout.write(_encodable(text, sys.stdout.encoding) + "\n")
        sys.stdout.flush()

    def _aside(self, text: str) -> None:
        self.end_bar()
        sys.stderr.write(_encodable(printable(text), sys.stderr.encoding) + "\n")
        sys.stderr.flush()


def printable(text: str) -> str:
    """One line without control characters: metadata of foreign files must not steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def _encodable(text: str, encoding: str | None) -> str:
    """A terminal that knows no Unicode shows a question mark, and nothing fails."""
    return text.encode(encoding or "utf-8", "replace").decode(encoding or "utf-8")
