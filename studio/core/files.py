"""Writes files atomically: complete or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from studio.core.errors import CannotWrite

PART = ".part-"
"""Prefix of unfinished files; process id and random digits follow. A sweep deletes those whose process has ended."""


@contextmanager
def temporary_file(folder: Path, suffix: str) -> Iterator[Path]:
    """Yield the path of a new, empty, hidden file in `folder`. Deletes it afterwards unless `commit_file` renamed it.

    Raises CannotWrite if the folder is not writable.
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
    """Sync an unfinished file in the same folder to disk, and rename it to `path`. Raises CannotWrite."""
    try:
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise describe_write_error(path, error) from error


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder. On success the file is synced and renamed to `path`.

    The temporary name has the extension of `path`, which encoders may need, and begins with a dot. Raises CannotWrite
    if the disk is full or the folder is not writable.
    """
    with temporary_file(path.parent, path.suffix) as part:
        try:
            yield part
        except OSError as error:
            raise describe_write_error(path, error) from error
        commit_file(part, path)


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically. Raises CannotWrite."""
    with atomic_write(path) as part:
        part.write_bytes(content)


def describe_write_error(path: Path, error: OSError) -> CannotWrite:
    """Convert an OSError of a write to a sentence. Names of unfinished files are left out, since nobody knows them."""
    name = "the file" if path.name.startswith(PART) else path.name
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CannotWrite(f"The disk is full: {name} could not be saved.", "Free some space and try again.")
    if isinstance(error, PermissionError):
        return CannotWrite(f"{path.parent} is write-protected.", "Choose another folder.")
    return CannotWrite(f"Could not save {name}: {error.strerror or error}.")


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that renames in it survive a power failure. Does nothing on Windows."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
