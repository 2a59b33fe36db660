"""Everything that lies in the library's folder, quickly, with stamps that tell whether it changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from studio.core.files import PART
from studio.library.creation import MODEL_FILE
from studio.library.storage import sidecar


@dataclass
class FileScan:
    """`stamps` by the path relative to the library; `lost` are creations of which only the sidecar is there."""

    stamps: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    parts: list[Path] = field(default_factory=list)


def scan(root: Path) -> FileScan:
    """Files, and folders that are models. Hidden ones count for nothing, but for what was left unfinished."""
    found = FileScan()
    folders = [""]
    while folders:
        prefix = folders.pop()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            folders += _scan_folder(root, prefix, found)
    return found


def file_stamp(path: Path) -> str:
    """Size and time of change of a file and, behind a bar, of its sidecar. Raises FileNotFoundError when it is gone."""
    own = path / MODEL_FILE if path.is_dir() else path
    beside = ""
    with suppress(FileNotFoundError):
        beside = _format_stamp(sidecar.beside(path).stat())
    return f"{_format_stamp(own.stat())}|{beside}"


def is_same_file(stamp: str, other: str) -> bool:
    """Whether two stamps differ in the sidecar at most."""
    return stamp.partition("|")[0] == other.partition("|")[0]


def _scan_folder(root: Path, prefix: str, found: FileScan) -> Iterator[str]:
    with os.scandir(root / prefix) as entries:
        here = {entry.name: entry for entry in entries}
    for name, entry in here.items():
        if name.startswith(PART):
            found.parts.append(Path(entry.path))
        elif name.startswith("."):
            continue
        elif entry.is_dir(follow_symlinks=False):
            if (Path(entry.path) / MODEL_FILE).is_file():
                found.stamps[prefix + name] = file_stamp(Path(entry.path))
            else:
                yield f"{prefix}{name}/"
        elif name.endswith(sidecar.SUFFIX):
            if name.removesuffix(sidecar.SUFFIX) not in here:
                found.lost.append(prefix + name.removesuffix(sidecar.SUFFIX))
        else:
            beside = here.get(name + sidecar.SUFFIX)
            with suppress(FileNotFoundError):
                found.stamps[prefix + name] = (
                    f"{_format_stamp(entry.stat())}|{_format_stamp(beside.stat()) if beside else ''}"
                )


def _format_stamp(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}"
