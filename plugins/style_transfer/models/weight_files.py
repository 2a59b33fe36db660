"""Checks files of weights before they are read."""

from __future__ import annotations

from pathlib import Path

from studio import api

_START = 23
"""Bytes that tell what a file is."""


def check_weight_file(path: Path, max_bytes: int) -> bytes:
    """Return the first bytes of a file.

    Raises BadInput for a file that cannot be read, is a Git LFS pointer, or is larger than `max_bytes`.
    """
    with api.model_files.damage_as_bad_input(path), api.model_files.open_file(path) as file:
        size = path.stat().st_size
        start = file.read(_START)
        api.model_files.refuse_lfs_pointer(path, start[:8])
    if size > max_bytes:
        raise api.BadInput(f"{path.name} is far larger than a style network.", "Choose another style.")
    return start
