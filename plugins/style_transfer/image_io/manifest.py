"""The manifest of an output folder, with which an interrupted run resumes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeAlias

from studio import api

NAME = ".style.jsonl"
MAX_BYTES = 64 * 2**20
FileStamp: TypeAlias = tuple[int, int]
"""Size in bytes and modification time in nanoseconds."""


class Manifest:
    """One JSON line per styled image: name, hash of the settings, stamp of the image, stamp of the result."""

    def __init__(self, path: Path, settings: str, content: str) -> None:
        self._path = path
        self._settings = settings
        self._ends_mid_line = bool(content) and not content.endswith("\n")
        self._entries: dict[str, tuple[str, FileStamp, FileStamp]] = {}
        self._outputs: set[tuple[str, FileStamp]] = set()
        for line in content.split("\n"):
            self._read_line(line)

    def _read_line(self, line: str) -> None:
        try:
            name, settings, source, output = json.loads(line)
            entry = (str(settings), (int(source[0]), int(source[1])), (int(output[0]), int(output[1])))
        except (ValueError, TypeError, IndexError, RecursionError):
            return
        self._entries[str(name)] = entry
        self._outputs.add((str(name), entry[2]))

    def is_done(self, name: Path, source: Path, output: Path) -> bool:
        """Check whether an image is styled with these settings and neither file has changed since."""
        entry = self._entries.get(name.as_posix())
        return entry is not None and entry == (self._settings, _stamp_file(source), _stamp_file(output))

    def is_own_output(self, name: Path, output: Path) -> bool:
        """Check whether a file was once written for the image of that name and is unchanged."""
        return (name.as_posix(), _stamp_file(output)) in self._outputs

    def add(self, name: Path, source: Path, output: Path) -> None:
        """Record a styled image. Call it before the output gets its name, so that a kill leaves no unknown file.

        Raises BadInput where the disk is full.
        """
        entry = (self._settings, _stamp_file(source), _stamp_file(output))
        self._entries[name.as_posix()] = entry
        self._outputs.add((name.as_posix(), entry[2]))
        line_break, self._ends_mid_line = "\n" if self._ends_mid_line else "", False
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{line_break}{json.dumps([name.as_posix(), *entry])}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise api.BadInput(
                f"{name.name} was not saved, because {NAME} cannot be written: {error.strerror or error}."
            ) from error


def open_manifest(folder: Path, settings: str) -> Manifest:
    """Open the manifest of an output folder, which is created if missing. Truncated lines are ignored."""
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        content = path.read_text("utf-8") if path.exists() and path.stat().st_size <= MAX_BYTES else ""
    except (OSError, UnicodeError) as error:
        raise api.BadInput(f"{folder} cannot be used: {error}.", "Choose another folder.") from error
    return Manifest(path, settings, content)


def _stamp_file(path: Path) -> FileStamp:
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)
