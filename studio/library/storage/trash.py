"""The trash: files moved to `library/trash/` under the path that they had, so that they go back to it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from studio.core import files
from studio.core.paths import Home
from studio.library.storage import sidecar


def move(home: Home, path: Path, *, to_trash: bool) -> Path:
    """Moves a creation with its sidecar into the trash or out of it; where it is now. Raises StudioError."""
    target = home.trash / path.relative_to(home.library) if to_trash else home.library / path.relative_to(home.trash)
    target = _free(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        with suppress(FileNotFoundError):
            sidecar.beside(path).rename(sidecar.beside(target))
        files.sync_folder(target.parent)
        files.sync_folder(path.parent)
    except OSError as error:
        raise files.describe_write_error(target, error) from error
    return target


def delete(home: Home, path: Path) -> bool:
    """Deletes a creation that is in the trash; False where that did not succeed."""
    if home.trash not in path.parents:
        return False
    with suppress(FileNotFoundError):
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        except FileNotFoundError:
            pass
        except OSError:
            return False
        sidecar.beside(path).unlink()
    return True


def remove_empty_folders(home: Home) -> None:
    for folder, _, _ in os.walk(home.trash, topdown=False):
        if Path(folder) != home.trash:
            with suppress(OSError):
                Path(folder).rmdir()


def _free(path: Path) -> Path:
    """A path that nothing stands at: another file of that name may have come meanwhile."""
    number, free = 2, path
    while free.exists():
        free = path.with_name(f"{path.stem} ({number}){path.suffix}")
        number += 1
    return free
