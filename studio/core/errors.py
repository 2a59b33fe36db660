"""Expected failures. Each carries one plain sentence for the artist, and a hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from msgspec import Struct

_TOO_LITTLE = ("out of memory", "can't allocate memory", "not enough memory", "status_alloc_failed")


class StudioError(Exception):
    """An expected failure: `str(error)` says what is wrong, `hint` what to do about it."""

    kind = "failed"

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint

    def __str__(self) -> str:
        sentence = str(self.args[0])
        return f"{sentence} {self.hint}" if self.hint else sentence


class BadInput(StudioError):
    """What the artist gave cannot be used. Exit status 2 on the command line."""

    kind = "bad_input"


class CannotWrite(StudioError):
    """The disk is full, or a place may not be written to. Exit status 2 on the command line."""

    kind = "cannot_write"


class OutOfMemory(StudioError):
    """The device or the machine has too little memory for this job."""

    kind = "out_of_memory"


class Cancelled(Exception):
    """Raised inside a tool at a cancel point, after the artist asked to stop."""


class Paused(Exception):
    """Raised by a tool once it has kept its state, after the artist asked to pause."""


class Failure(Struct, frozen=True):
    """A failure as a value, as it crosses processes and is stored with its job."""

    kind: str
    sentence: str
    details: str = ""


def is_out_of_memory(error: BaseException) -> bool:
    """Python's, numpy's, and what torch raises for each device."""
    if isinstance(error, MemoryError | OutOfMemory):
        return True
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _TOO_LITTLE)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint naming the nearest known words, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=2, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else ""
