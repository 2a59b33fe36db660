"""Files are written whole or not at all."""

import errno
import re
import sqlite3
from pathlib import Path

import pytest

from studio.core import files
from studio.core.digests import sha256
from studio.core.errors import StudioError
from studio.core.files import atomic_write, write_bytes_atomically


def test_bytes_are_written_into_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.bin"
    write_bytes_atomically(path, b"abc")
    assert path.read_bytes() == b"abc"
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_bytes_atomically(path, b"old")
    with pytest.raises(RuntimeError), atomic_write(path) as part:  # noqa: PT012
        part.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="The disk is full"), atomic_write(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_the_system_raises_enospc_on_a_full_device() -> None:
    """The message depends on this errno, so the system must raise it."""
    with pytest.raises(OSError, match="No space") as caught, Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")
    assert caught.value.errno == errno.ENOSPC


def test_a_file_in_place_of_a_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudioError, match="Could not save"):
        write_bytes_atomically(tmp_path / "file" / "below.txt", b"")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_recognised_in_any_error(tmp_path: Path, error: Exception) -> None:
    assert files.is_disk_full(error)
    outer = RuntimeError("the library failed")
    outer.__cause__ = error
    assert files.is_disk_full(outer)
    assert re.search(
        rf"The disk is full: x could not be saved. {re.escape(str(tmp_path))} has [\d.]+ \w+ left.",
        str(files.describe_full_disk("x", tmp_path)),
    )
    assert not files.is_disk_full(OSError(errno.EACCES, "Permission denied"))
