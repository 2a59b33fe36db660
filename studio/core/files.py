"""Files written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from studio.core.errors import CannotWrite

PART = ".part-"
"""Unfinished files are called this, the process that writes them, and a few random digits.

A sweep may remove those whose process is gone."""


@contextmanager
def temporary_file(folder: Path, suffix: str) -> Iterator[Path]:
    """Yields the path of a new, empty, hidden file in `folder`; it is gone afterwards unless `commit_file` renamed it.

    Raises StudioError when the folder may not be written to.
    """
    part = folder / f"{PART}{os.getpid()}-{secrets.token_hex(6)}{suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
    except OSError as error:
        raise describe_write_error(part, error) from error
    try:
        yield part
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def commit_file(part: Path, path: Path) -> None:
    """Syncs an unfinished file of the same folder to the disk and gives it its name."""
    try:
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise describe_write_error(path, error) from error


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder; on success it is synced and renamed to `path`.

    The temporary name ends as `path` does, for encoders that go by the extension, and
    begins with a dot. Raises StudioError with a plain sentence when the disk is full or
    the folder may not be written.
    """
    with temporary_file(path.parent, path.suffix) as part:
        try:
            yield part
        except OSError as error:
            raise describe_write_error(path, error) from error
        commit_file(part, path)


def write_bytes_atomically(path: Path, content: bytes) -> None:
    with atomic_write(path) as part:
        part.write_bytes(content)


def describe_write_error(path: Path, error: OSError) -> CannotWrite:
    """What a failed write means in a sentence. An unfinished file is not named: nobody knows it."""
    name = "the file" if path.name.startswith(PART) else path.name
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CannotWrite(f"The disk is full: {name} could not be saved.", "Free some space and try again.")
    if isinstance(error, PermissionError):
        return CannotWrite(f"{path.parent} may not be written to.", "Choose another folder.")
    return CannotWrite(f"Could not save {name}: {error.strerror or error}.")


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder durable, where the platform can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
