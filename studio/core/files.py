"""Files written whole or not at all, and named by their content."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from studio.core.errors import StudioError

PART = ".part-"
"""Unfinished files begin with this; a sweep may remove those left by a kill."""


def sha256(path: Path) -> str:
    """The hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder; on success it is synced and renamed to `path`.

    The temporary name ends as `path` does, for encoders that go by the extension, and
    begins with a dot. Raises StudioError with a plain sentence when the disk is full or
    the folder may not be written.
    """
    part = path.with_name(f"{PART}{secrets.token_hex(6)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    with written_whole(path) as part:
        part.write_bytes(content)


def _cannot_write(path: Path, error: OSError) -> StudioError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StudioError(f"The disk is full: {path.name} could not be saved.", "Free some space and try again.")
    if isinstance(error, PermissionError):
        return StudioError(f"{path.parent} may not be written to.", "Choose another folder.")
    return StudioError(f"{path.name} could not be saved: {error.strerror or error}.")


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
