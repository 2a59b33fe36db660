"""Lists the files of the library folder with stamps that show whether they changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from studio.core.files import PART
from studio.core.untrusted_files import make_valid
from studio.library.creation import MODEL_FILE
from studio.library.storage import sidecar


@dataclass
class FileScan:
    """The result of a scan.

    `stamps` maps paths relative to the library to file stamps. `orphaned` are the names of creations of which only the
    sidecar exists. `unfinished` are temporary files. `unnameable` are files and folders whose names are not UTF-8.
    """

    stamps: dict[str, str] = field(default_factory=dict)
    orphaned: list[str] = field(default_factory=list)
    unfinished: list[Path] = field(default_factory=list)
    unnameable: list[Path] = field(default_factory=list)


def scan(root: Path) -> FileScan:
    """Find all creations below `root`: files, and folders that are models. Hidden files are skipped."""
    result = FileScan()
    folders = [""]
    while folders:
        prefix = folders.pop()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            folders += _scan_folder(root, prefix, result)
    return result


def file_stamp(path: Path) -> str:
    """Return size and modification time of a file and, after ``|``, of its sidecar.

    Raises FileNotFoundError if the file does not exist.
    """
    own = path / MODEL_FILE if path.is_dir() else path
    beside = ""
    with suppress(FileNotFoundError):
        beside = _format_stamp(sidecar.sidecar_path(path).stat())
    return f"{_format_stamp(own.stat())}|{beside}"


def is_same_file(stamp: str, other: str) -> bool:
    """Check whether two stamps belong to the same file content; only their sidecars may differ."""
    return stamp.partition("|")[0] == other.partition("|")[0]


def _scan_folder(root: Path, prefix: str, result: FileScan) -> Iterator[str]:
    with os.scandir(root / prefix) as entries:
        here = {entry.name: entry for entry in entries}
    for name, entry in here.items():
        if name.startswith(PART):
            result.unfinished.append(Path(entry.path))
        elif name.startswith("."):
            continue
        elif make_valid(name) != name:
            result.unnameable += [] if name.endswith(sidecar.SUFFIX) else [Path(entry.path)]
        elif entry.is_dir(follow_symlinks=False):
            if (Path(entry.path) / MODEL_FILE).is_file():
                result.stamps[prefix + name] = file_stamp(Path(entry.path))
            else:
                yield f"{prefix}{name}/"
        elif name.endswith(sidecar.SUFFIX):
            if name.removesuffix(sidecar.SUFFIX) not in here:
                result.orphaned.append(prefix + name.removesuffix(sidecar.SUFFIX))
        else:
            beside = here.get(name + sidecar.SUFFIX)
            with suppress(FileNotFoundError):
                result.stamps[prefix + name] = (
                    f"{_format_stamp(entry.stat())}|{_format_stamp(beside.stat()) if beside else ''}"
                )


def _format_stamp(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}"
