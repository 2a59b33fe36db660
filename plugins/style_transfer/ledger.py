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

    def __init__(self, path: Path, settings: str, lines: dict[str, tuple[str, Stamp, Stamp]]) -> None:
        self._path = path
        self._settings = settings
        self._lines = lines

    def is_done(self, name: Path, picture: Path, painting: Path) -> bool:
        """Whether the painting of a picture is there, with these settings, and neither has changed."""
        known = self._lines.get(name.as_posix())
        return known is not None and known == (self._settings, _stamp(picture), _stamp(painting))

    def is_ours(self, name: Path, painting: Path) -> bool:
        """Whether a file was painted from the picture of that name, and is unchanged."""
        known = self._lines.get(name.as_posix())
        return known is not None and known[2] == _stamp(painting)

    def add(self, name: Path, picture: Path, painting: Path) -> None:
        """Writes down a painting that has its name. Raises BadInput where the disk is full."""
        line = (self._settings, _stamp(picture), _stamp(painting))
        self._lines[name.as_posix()] = line
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([name.as_posix(), *line]) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise api.BadInput(
                f"{name.name} is painted, and cannot be noted as done: {error.strerror or error}."
            ) from error


def opened(folder: Path, settings: str) -> Ledger:
    """The ledger of a target folder, which is made where it is missing. Lines that were cut short do not count."""
    path = folder / NAME
    lines: dict[str, tuple[str, Stamp, Stamp]] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = path.read_text("utf-8") if path.exists() and path.stat().st_size <= MAX_BYTES else ""
    except (OSError, UnicodeError) as error:
        raise api.BadInput(f"{folder} cannot be used: {error}.", "Choose another folder.") from error
    for line in written.splitlines():
        try:
            name, made_with, picture, painting = json.loads(line)
            lines[str(name)] = (
                str(made_with),
                (int(picture[0]), int(picture[1])),
                (int(painting[0]), int(painting[1])),
            )
        except (ValueError, TypeError, IndexError):
            continue
    return Ledger(path, settings, lines)


def _stamp(path: Path) -> Stamp:
    try:
        about = path.stat()
    except OSError:
        return (-1, -1)
    return (about.st_size, about.st_mtime_ns)
