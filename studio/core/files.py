"""Writes files atomically: complete or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from studio.core.errors import CannotWrite, StudioError
from studio.core.humanize import format_size

_DISK_FULL_WORDS = ("No space left on device", "database or disk is full", "Disk quota exceeded", "os error 28")
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
        except StudioError:
            raise
        except Exception as error:
            if is_disk_full(error):  # libraries have exceptions of their own
                raise describe_full_disk(path.name, path.parent) from error
            raise
        commit_file(part, path)


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically. Raises CannotWrite."""
    with atomic_write(path) as part:
        part.write_bytes(content)


def describe_write_error(path: Path, error: OSError) -> CannotWrite:
    """Convert an OSError of a write to a sentence. Names of unfinished files are left out, since nobody knows them."""
    name = "the file" if path.name.startswith(PART) else path.name
    if is_disk_full(error):
        return describe_full_disk(name, path.parent)
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return CannotWrite(f"{path.parent} is write-protected.", "Choose another folder.")
    return CannotWrite(f"Could not save {name}: {error.strerror or error}.")


def is_disk_full(error: BaseException) -> bool:
    """Check for a full disk or quota, also in what a library raised after it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(seen) for words in _DISK_FULL_WORDS):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def describe_full_disk(name: str, folder: Path) -> CannotWrite:
    """Return the error of a file that did not fit, with the free space on the disk of `folder`."""
    try:
        free = f" {folder} has {format_size(shutil.disk_usage(folder).free)} left."
    except OSError:
        free = ""
    return CannotWrite(f"The disk is full: {name} could not be saved.{free}", "Free some space and try again.")


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that renames in it survive a power failure. Does nothing on Windows."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
