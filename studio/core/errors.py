"""Expected failures. Each carries one plain sentence for the artist, and a hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

_OUT_OF_MEMORY_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory", "status_alloc_failed")


class FailureKind(Enum):
    """Why a job failed. The values are stored with jobs and printed by ``studio run --json``."""

    FAILED = "failed"
    BAD_INPUT = "bad_input"
    CANNOT_WRITE = "cannot_write"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    """The worker ended under the job."""
    INTERRUPTED = "interrupted"
    """The studio ended under the job."""

    @classmethod
    def _missing_(cls, _value: object) -> FailureKind:
        """Read a kind that a newer studio stored as a plain failure."""
        return cls.FAILED


class StudioError(Exception):
    """An expected failure: `str(error)` says what is wrong, `hint` what to do about it."""

    kind = FailureKind.FAILED

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint

    def __str__(self) -> str:
        sentence = str(self.args[0])
        return f"{sentence} {self.hint}" if self.hint else sentence


class BadInput(StudioError):
    """An input or a value cannot be used. Exit status 2 on the command line."""

    kind = FailureKind.BAD_INPUT


class CannotWrite(StudioError):
    """The disk is full, or a folder is read-only. Exit status 2 on the command line."""

    kind = FailureKind.CANNOT_WRITE


class OutOfMemory(StudioError):
    """The device or the machine has too little memory for this job."""

    kind = FailureKind.OUT_OF_MEMORY


class Cancelled(Exception):
    """Raised inside a tool at a cancel point, after the artist cancelled the job."""


class Paused(Exception):
    """Raised by a tool once it has saved its state, after the artist paused the job."""


class Failure(Struct, frozen=True):
    """A failure as a value, as it crosses processes and is stored with its job."""

    kind: FailureKind
    sentence: str
    details: str = ""


def is_out_of_memory(error: BaseException) -> bool:
    """Check for the errors that Python, numpy and torch raise on any device when memory runs out."""
    if isinstance(error, MemoryError | OutOfMemory):
        return True
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(message in str(error).lower() for message in _OUT_OF_MEMORY_MESSAGES)


def describe_exception(error: BaseException) -> str:
    """Return the type of an exception and its message, if it has one."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known words, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=2, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else ""
