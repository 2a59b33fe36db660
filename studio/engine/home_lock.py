"""A lock that lets only one studio open a home."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from studio.core.errors import StudioError


class HomeLock:
    """Locked from the constructor until `release` or the end of the process, however it ends.

    Raises StudioError when another process has it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("ab")
        try:
            _lock(self._file)
        except OSError as error:
            self._file.close()
            raise StudioError("The studio is already open.", "Use that window, or close it first.") from error

    def release(self) -> None:
        self._file.close()


def _lock(file: IO[bytes]) -> None:
    if os.name == "nt":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
