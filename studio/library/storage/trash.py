"""The trash: files in `library/trash/` keep their relative path, so that they can be restored."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from studio.core import files
from studio.core.paths import Home
from studio.library.storage import sidecar


def move(home: Home, path: Path, *, to_trash: bool) -> Path:
    """Move a creation with its sidecar into or out of the trash. Return its new path. Raises StudioError."""
    target = home.trash / path.relative_to(home.library) if to_trash else home.library / path.relative_to(home.trash)
    target = _find_free_path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        with suppress(FileNotFoundError):
            sidecar.sidecar_path(path).rename(sidecar.sidecar_path(target))
        files.sync_folder(target.parent)
        files.sync_folder(path.parent)
    except OSError as error:
        raise files.describe_write_error(target, error) from error
    return target


def delete(home: Home, path: Path) -> bool:
    """Delete a creation in the trash with its sidecar. Return False if that fails."""
    if home.trash not in path.parents:
        return False
    with suppress(FileNotFoundError):
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        except FileNotFoundError:
            pass
        except OSError:
            return False
        sidecar.sidecar_path(path).unlink()
    return True


def remove_empty_folders(home: Home) -> None:
    for folder, _, _ in os.walk(home.trash, topdown=False):
        if Path(folder) != home.trash:
            with suppress(OSError):
                Path(folder).rmdir()


def _find_free_path(path: Path) -> Path:
    """Return `path`, or a numbered variant if another file has taken the name meanwhile."""
    number, free = 2, path
    while free.exists():
        free = path.with_name(f"{path.stem} ({number}){path.suffix}")
        number += 1
    return free
