"""Models as one file: a ZIP archive with the model's folder, written and read as a stream.

Archives and folders of strangers are copied within limits. Nothing in them can name a place outside of the target.
"""

from __future__ import annotations

import shutil
import stat
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from studio.core.errors import BadInput
from studio.core.files import describe_write_error
from studio.core.humanize import format_size
from studio.core.untrusted_files import damage_as_bad_input, make_valid, name_for_display, open_file
from studio.library.creation import MODEL_FILE

SUFFIX = ".zip"
MAX_FILES = 10_000
MAX_DIRECTORY = 16 * 2**20
"""Maximum number of bytes of an archive's list of files."""
MAX_RATIO, ALLOWED_BYTES = 10, 64 * 2**20
"""Unpacked files have at most so many times the bytes of the archive, and these more."""
MAX_NAME = 200
"""Maximum number of bytes of the name of a file or folder."""
_CHUNK = 2**20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CODE = (".py", ".pyc", ".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".so", ".dll", ".exe", ".sh", ".bat")
"""Extensions of files that may run programs when they are opened. Models that are trained here have none."""


def pack(files: Iterable[tuple[str, Path]], folder: str, target: Path) -> None:
    """Write files, given as (name, path), into an archive without compression, in a folder of this name."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for name, path in files:
            archive.write(path, f"{folder}/{name}")


def unpack(archive: Path, target: Path) -> None:
    """Unpack the model in an archive into the empty folder `target`.

    Raises BadInput, with one sentence, for an archive without a model, or with anything that a model does not have:
    names outside of its folder, links, passwords, programs, or far more bytes than the archive. Raises CannotWrite.
    """
    name = name_for_display(archive)
    with damage_as_bad_input(archive), open_file(archive) as file:
        size = archive.stat().st_size
        if _read_directory_size(file, size) > MAX_DIRECTORY:
            raise _refuse(name, "its list of files is too long")
        with zipfile.ZipFile(file) as opened:
            entries = _choose_entries(name, opened.infolist())
            total = sum(entry.file_size for entry in entries.values())
            if total > MAX_RATIO * size + ALLOWED_BYTES:
                raise _refuse(name, f"it would unpack to {format_size(total)}")
            _check_space(name, total, target)
            for relative, entry in entries.items():
                with opened.open(entry) as source:
                    _write(source, target / relative, entry.file_size)


def copy(folder: Path, target: Path) -> None:
    """Copy the model in a folder into the empty folder `target`. Raises BadInput like `unpack`, and CannotWrite."""
    name = name_for_display(folder)
    with damage_as_bad_input(folder):
        if not (folder / MODEL_FILE).is_file():
            raise _describe_missing_model(name)
        paths = dict(_list_folder(name, folder))
        _check_names(name, paths)
        _check_space(name, sum(path.stat().st_size for path in paths.values()), target)
        for relative, path in paths.items():
            with open_file(path) as source:
                _write(source, target / relative, path.stat().st_size)


def _choose_entries(name: str, entries: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return the files of the model by their names in its folder, which is the archive itself or a folder in it."""
    if len(entries) > MAX_FILES:
        raise _refuse(name, f"it has more than {MAX_FILES:,} files")
    files: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refuse(name, "it has a link or a device")
        if entry.flag_bits & 1:
            raise _refuse(name, "it needs a password")
        if entry.compress_type not in _METHODS:
            raise _refuse(name, "it is compressed in an unusual way")
        if not entry.is_dir():
            if entry.filename in files:
                raise _refuse(name, "it has two files of one name")
            files[entry.filename] = entry
    _check_names(name, files)
    roots = [path.removesuffix(MODEL_FILE) for path in files if PurePosixPath(path).name == MODEL_FILE]
    root = min(roots, key=len, default=None)
    if root is None or root.count("/") > 1:
        raise _describe_missing_model(name)
    inside = {path.removeprefix(root): entry for path, entry in files.items() if path.startswith(root)}
    return {path: entry for path, entry in inside.items() if not _is_hidden(path)}


def _list_folder(name: str, folder: Path) -> Iterator[tuple[str, Path]]:
    for number, path in enumerate(folder.rglob("*")):
        if number >= MAX_FILES:
            raise _refuse(name, f"it has more than {MAX_FILES:,} files")
        relative = path.relative_to(folder).as_posix()
        if _is_hidden(relative):
            continue
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise _refuse(name, "it has a link or a device")
        if path.is_file():
            yield relative, path


def _check_names(name: str, names: Iterable[str]) -> None:
    """Raise BadInput for a name that leads out of the folder, differs by case alone, or belongs to a program."""
    seen = set[str]()
    for one in names:
        parts = one.split("/")
        if not one.isprintable() or make_valid(one) != one or not all(map(_is_plain, parts)):
            raise _refuse(name, "it has a file whose name leads out of its folder or cannot be used everywhere")
        if one.casefold() in seen:
            raise _refuse(name, "it has two files of one name")
        seen.add(one.casefold())
        if not _is_hidden(one) and one.lower().endswith(_CODE):
            raise _refuse(name, f"it has a file that can run programs ({PurePosixPath(one).name})")


def _is_plain(part: str) -> bool:
    """Check whether every file system can have a file of this name, and it is no way out of its folder."""
    return bool(part.strip(". ")) and not set(part) & set('\\:*?"<>|') and len(part.encode()) <= MAX_NAME


def _is_hidden(name: str) -> bool:
    """Check for files that systems add to folders and archives, such as ``.DS_Store``."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _check_space(name: str, total: int, target: Path) -> None:
    free = shutil.disk_usage(target).free
    if total > free:
        needed = f"{name} needs {format_size(total)}, and the disk of the library has {format_size(free)} left."
        raise BadInput(needed, "Free some space and try again.")


def _write(source: IO[bytes], target: Path, size: int) -> None:
    """Copy `size` bytes, and no more."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            while size > 0 and (chunk := source.read(min(_CHUNK, size))):
                file.write(chunk)
                size -= len(chunk)
    except OSError as error:
        raise describe_write_error(target, error) from error


def _read_directory_size(file: BinaryIO, size: int) -> int:
    """Return the number of bytes of an archive's list of files, which `zipfile` would read whole."""
    start = max(0, size - 2**16 - 200)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        return 0
    (length,) = struct.unpack_from("<I", tail, end + 12)
    large = tail.rfind(b"PK\6\6", 0, end)
    if large >= 0 and len(tail) >= large + 56:
        length = max(int(length) % 0xFFFFFFFF, struct.unpack_from("<Q", tail, large + 40)[0])
    return int(length)


def _describe_missing_model(name: str) -> BadInput:
    return BadInput(f"{name} holds no model of the studio: it has no {MODEL_FILE}.", "Choose what the studio exported.")


def _refuse(name: str, reason: str) -> BadInput:
    return BadInput(f"{name} is not imported: {reason}.", "Ask its author for another copy.")
