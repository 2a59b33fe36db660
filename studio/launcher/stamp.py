"""The stamp of an environment, read at every start: hence no more than `os` and `sys` here.

A stamp is written last, and says which Python, which checkout and which pins an environment
was finished for. While an installation changes files it says `unfinished` instead.
"""

from __future__ import annotations

import os
import sys

NAME = "studio-stamp"
UNFINISHED = "unfinished"
PINS = ("constraints.txt", "pyproject.toml")


def read(folder: str) -> list[str]:
    """The lines of the stamp in an environment; none where there is no stamp."""
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
    """Changes whenever the files with the pins were written."""
    marks = (os.stat(os.path.join(root, name)) for name in PINS)
    return "files " + " ".join(f"{mark.st_size}.{mark.st_mtime_ns}" for mark in marks)


def is_fresh(root: str, folder: str, extra: str) -> bool:
    """Whether nothing has changed since the stamp: a quick yes. After a no, the pins themselves are compared."""
    lines = read(folder)
    return {of_python(), of_root(root), of_files(root)} <= set(lines) and any(
        line.startswith(f"{extra} ") for line in lines
    )
