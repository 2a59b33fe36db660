"""The stamp of an environment. It is read at every start, so this module imports only `os` and `sys`.

The stamp is written at the end of an installation. It names the Python version, the checkout and the pins. While an
installation changes files, it says `unfinished` instead.
"""

from __future__ import annotations

import os
import sys

NAME = "studio-stamp"
UNFINISHED = "unfinished"
PINS = ("constraints.txt", "pyproject.toml")


def read(folder: str) -> list[str]:
    """Read the lines of an environment's stamp. Return none if there is no stamp."""
    try:
        with open(os.path.join(folder, NAME), encoding="utf-8") as file:
            return file.read().splitlines()
    except (OSError, UnicodeError):
        return []


def of_python(version: tuple[int, ...] = sys.version_info[:2]) -> str:
    return "python {}.{}".format(*version)


def of_root(root: str) -> str:
    return f"root {root}"


def of_files(root: str) -> str:
    """Return a line that changes when a file with pins is written."""
    states = (os.stat(os.path.join(root, name)) for name in PINS)
    return "files " + " ".join(f"{state.st_size}.{state.st_mtime_ns}" for state in states)


def is_fresh(root: str, folder: str, extra: str) -> bool:
    """Check quickly whether nothing has changed since the stamp. If not, the caller compares the pins themselves."""
    lines = read(folder)
    return {of_python(), of_root(root), of_files(root)} <= set(lines) and any(
        line.startswith(f"{extra} ") for line in lines
    )
