"""Checks files of weights before they are read."""

from __future__ import annotations

from pathlib import Path

from studio import api

_LFS_POINTER = b"version https://git-lfs"


def check_weight_file(path: Path, max_bytes: int) -> bytes:
    """Return the first bytes of a file.

    Raises BadInput for a file that cannot be read, is a Git LFS pointer, or is larger than `max_bytes`.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(_LFS_POINTER))
    except OSError as error:
        raise api.BadInput(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if start == _LFS_POINTER:
        raise api.BadInput(
            f"{path.name} is a Git LFS pointer and not the style itself.",
            "Fetch the real file with `git lfs pull`, or download it again.",
        )
    if size > max_bytes:
        raise api.BadInput(f"{path.name} is far larger than a style network.", "Choose another style.")
    return start
