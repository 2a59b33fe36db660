"""What a first start says while it works: a line that is drawn over on a terminal, single lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time


class Console:
    """Speaks on standard error, so that standard output belongs to the command."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._drawn = ""
        self._stage = ""
        self._said_at = 0.0

    def say(self, sentence: str) -> None:
        self._wipe()
        print(sentence, file=sys.stderr, flush=True)

    def show(self, stage: str, state: str) -> None:
        """The state of a stage. Off a terminal: when the stage begins, and then every ten seconds."""
        if self._terminal:
            line = f"  {stage}: {state}" if state else f"  {stage}"
            line = line[: shutil.get_terminal_size().columns - 1]
            if line != self._drawn:
                sys.stderr.write("\r" + line.ljust(len(self._drawn)))
                sys.stderr.flush()
                self._drawn = line
        elif stage != self._stage or time.monotonic() - self._said_at >= 10:
            self._stage, self._said_at = stage, time.monotonic()
            print(f"  {stage}: {state}" if state else f"  {stage}", file=sys.stderr, flush=True)

    def _wipe(self) -> None:
        if self._drawn:
            sys.stderr.write("\r" + " " * len(self._drawn) + "\r")
            self._drawn = ""
