"""Progress of a first start: one updated line on a terminal, separate lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time


class Console:
    """Writes to standard error, since standard output belongs to the command."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._drawn = ""
        self._stage = ""
        self._printed_at = 0.0

    def print_line(self, sentence: str) -> None:
        self._clear_line()
        print(sentence, file=sys.stderr, flush=True)

    def show_stage(self, stage: str, state: str) -> None:
        """Show the state of a stage. Without a terminal, print it when the stage starts and every ten seconds."""
        if self._terminal:
            line = f"  {stage}: {state}" if state else f"  {stage}"
            line = line[: shutil.get_terminal_size().columns - 1]
            if line != self._drawn:
                sys.stderr.write("\r" + line.ljust(len(self._drawn)))
                sys.stderr.flush()
                self._drawn = line
        elif stage != self._stage or time.monotonic() - self._printed_at >= 10:
            self._stage, self._printed_at = stage, time.monotonic()
            print(f"  {stage}: {state}" if state else f"  {stage}", file=sys.stderr, flush=True)

    def _clear_line(self) -> None:
        if self._drawn:
            sys.stderr.write("\r" + " " * len(self._drawn) + "\r")
            self._drawn = ""
