"""Tells what has changed in the folders of training data since a training began."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import msgspec

from studio.api.params import Params
from studio.core.files import write_bytes_atomically
from studio.core.untrusted_files import make_valid, read_file, read_or_else

FILE = "data.json"
"""Name of the list of files beside the checkpoint."""

Files: TypeAlias = dict[str, tuple[int, int]]
"""Size in bytes and time of the last change in ns, by path."""


def note_changes(params: Params, checkpoint_dir: Path) -> str:
    """Write a list of the files in all folders of the parameters, and compare it with the one that was there.

    Returns a sentence; empty if nothing has changed or there was no list. Raises CannotWrite.
    """
    path = checkpoint_dir / FILE
    after: Files = dict(chain.from_iterable(map(_list_files, _list_folders(params))))
    before: Files = read_or_else(after, lambda: msgspec.json.decode(read_file(path), type=Files))
    write_bytes_atomically(path, msgspec.json.encode(after))
    return _describe(before, after)


def _list_folders(params: Params) -> Iterator[Path]:
    for name in type(params).model_fields:
        value = getattr(params, name)
        yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Path))


def _list_files(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if status := read_or_else(None, path.stat):
                yield make_valid(str(path)), (status.st_size, status.st_mtime_ns)


def _describe(before: Files, after: Files) -> str:
    changed = sum(before[name] != after[name] for name in before.keys() & after.keys())
    counts = {"added": len(after.keys() - before), "removed": len(before.keys() - after), "changed": changed}
    parts = [f"{count:,} {'was' if count == 1 else 'were'} {what}" for what, count in counts.items() if count]
    if not parts:
        return ""
    return (
        f"The files of the training data have changed since the training began: {', '.join(parts)}. "
        "The training goes on with the files as they are now."
    )
