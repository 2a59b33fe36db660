"""What has been painted into a folder, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeAlias

from studio import api

NAME = ".style.jsonl"
MAX_BYTES = 64 * 2**20
Stamp: TypeAlias = tuple[int, int]
"""Size in bytes and time of change in nanoseconds."""


class Ledger:
    """One line for each painting: what it was made of, with which settings, and what it was then."""

    def __init__(self, path: Path, settings: str, written: str) -> None:
        self._path = path
        self._settings = settings
        self._is_torn = bool(written) and not written.endswith("\n")
        self._lines: dict[str, tuple[str, Stamp, Stamp]] = {}
        self._ours: set[tuple[str, Stamp]] = set()
        for line in written.split("\n"):
            self._read(line)

    def _read(self, line: str) -> None:
        try:
            name, made_with, picture, painting = json.loads(line)
            known = (str(made_with), (int(picture[0]), int(picture[1])), (int(painting[0]), int(painting[1])))
        except (ValueError, TypeError, IndexError, RecursionError):
            return
        self._lines[str(name)] = known
        self._ours.add((str(name), known[2]))

    def is_done(self, name: Path, picture: Path, painting: Path) -> bool:
        """Whether the painting of a picture is there, with these settings, and neither has changed."""
        known = self._lines.get(name.as_posix())
        return known is not None and known == (self._settings, _stamp(picture), _stamp(painting))

    def is_ours(self, name: Path, painting: Path) -> bool:
        """Whether a file was once painted from the picture of that name, and is unchanged."""
        return (name.as_posix(), _stamp(painting)) in self._ours

    def add(self, name: Path, picture: Path, painting: Path) -> None:
        """Writes down a painting, best before it has its name: a kill then leaves none that nobody knows.

        Raises BadInput where the disk is full.
        """
        line = (self._settings, _stamp(picture), _stamp(painting))
        self._lines[name.as_posix()] = line
        self._ours.add((name.as_posix(), line[2]))
        begun, self._is_torn = "\n" if self._is_torn else "", False
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{begun}{json.dumps([name.as_posix(), *line])}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise api.BadInput(
                f"{name.name} cannot be noted as done, and is not kept: {error.strerror or error}."
            ) from error


def opened(folder: Path, settings: str) -> Ledger:
    """The ledger of a target folder, which is made where it is missing. Lines that were cut short do not count."""
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = path.read_text("utf-8") if path.exists() and path.stat().st_size <= MAX_BYTES else ""
    except (OSError, UnicodeError) as error:
        raise api.BadInput(f"{folder} cannot be used: {error}.", "Choose another folder.") from error
    return Ledger(path, settings, written)


def _stamp(path: Path) -> Stamp:
    try:
        about = path.stat()
    except OSError:
        return (-1, -1)
    return (about.st_size, about.st_mtime_ns)
