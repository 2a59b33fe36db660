"""Runs of the command line that can be resumed: a folder of the home for each, with the checkpoints of its jobs."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from studio.core.errors import StudioError
from studio.core.files import describe_write_error, write_bytes_atomically
from studio.core.job import Job
from studio.core.paths import Home
from studio.core.recipe import SEEDS, Recipe
from studio.core.untrusted_files import read_file, read_or_else
from studio.engine.home_lock import HomeLock

FILE = "run.json"
_LOCK = "lock"
MAX_AGE = 14 * 86_400.0
"""Seconds after which the checkpoints of an interrupted run are removed."""


class _Stored(Struct, frozen=True):
    recipe: Recipe
    count: int
    command: tuple[str, ...]
    done: tuple[int, ...] = ()
    """Seeds of the jobs that are done."""


@dataclass
class ResumableRun:
    """A run of `count` jobs of one recipe, whose folder is locked while this process has it."""

    folder: Path
    recipe: Recipe
    count: int
    command: tuple[str, ...]
    done: tuple[int, ...]
    _lock: HomeLock

    def remaining(self) -> list[Recipe]:
        """Return the recipes of the jobs that are not done."""
        seeds = ((self.recipe.seed + number) % SEEDS for number in range(self.count))
        return [replace(self.recipe, seed=seed) for seed in seeds if seed not in self.done]

    def note_done(self, job: Job) -> None:
        """Store that a job is done, so that it does not run again. Raises CannotWrite."""
        self.done = (*self.done, job.recipe.seed)
        _store(self.folder, _Stored(self.recipe, self.count, self.command, self.done))

    def end(self) -> bool:
        """Unlock the run, and remove it if there is nothing to resume. Return whether it was kept."""
        has_checkpoints = any(path.is_file() for path in self.folder.glob("*/**/*"))
        is_kept = bool(self.remaining()) and (has_checkpoints or bool(self.done))
        self._lock.release()
        if not is_kept:
            shutil.rmtree(self.folder, ignore_errors=True)
        return is_kept


def begin(home: Home, recipe: Recipe, count: int, command: Sequence[str]) -> ResumableRun | None:
    """Begin a run anew: checkpoints of an earlier one with the same seed are removed.

    Return None if another process has this run. Raises CannotWrite.
    """
    folder = home.resumable / _digest(recipe, count, recipe.seed)
    lock = _lock(folder)
    if lock is None:
        return None
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
    _store(folder, _Stored(recipe, count, tuple(command)))
    return ResumableRun(folder, recipe, count, tuple(command), (), lock)


def find(home: Home, recipe: Recipe, count: int, *, any_seed: bool) -> ResumableRun | None:
    """Return the latest interrupted run of the same job, locked; None if there is none."""
    for folder, stored in list_runs(home):
        seed = stored.recipe.seed if any_seed else recipe.seed
        if folder.name == _digest(recipe, count, seed) and (lock := _lock(folder)):
            return ResumableRun(folder, stored.recipe, stored.count, stored.command, stored.done, lock)
    return None


def list_runs(home: Home) -> Iterator[tuple[Path, _Stored]]:
    """Yield the folders of runs that were interrupted or still run, the latest first. Old ones are removed."""
    folders = [(_modification_time(folder / FILE), folder) for folder in home.resumable.glob("*")]
    for changed, folder in sorted(folders, reverse=True):
        stored = read_or_else(None, lambda file: msgspec.json.decode(read_file(file), type=_Stored), folder / FILE)
        is_old = time.time() - changed > MAX_AGE
        if not (is_old or stored is None):
            yield folder, stored
        elif (lock := _lock(folder)) is not None:
            lock.release()
            shutil.rmtree(folder, ignore_errors=True)


def is_running(folder: Path) -> bool:
    """Check whether another process has a run."""
    lock = _lock(folder)
    if lock is None:
        return True
    lock.release()
    return False


def _digest(recipe: Recipe, count: int, seed: int) -> str:
    content: list[Any] = [recipe.tool, recipe.tool_version, recipe.params, recipe.inputs, seed, count]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:32]


def _store(folder: Path, stored: _Stored) -> None:
    write_bytes_atomically(folder / FILE, msgspec.json.encode(stored))


def _lock(folder: Path) -> HomeLock | None:
    try:
        return HomeLock(folder / _LOCK)
    except StudioError:
        return None
    except OSError as error:
        raise describe_write_error(folder, error) from error


def _modification_time(path: Path) -> float:
    return read_or_else(0.0, lambda: path.stat().st_mtime)
