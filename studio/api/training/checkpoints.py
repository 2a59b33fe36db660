"""The checkpoints of a training: the last one, and the one before in case the last is damaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from studio.api.model_files import read_tensors, write_tensors
from studio.api.training.state import TrainingState
from studio.core.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

LAST, PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"
FIRST_INTERVAL = 2.0
"""Seconds until the first checkpoint. Each further one takes twice as long to come."""
MAX_SHARE = 0.05
"""Fraction of the time that saving checkpoints may take."""


class Checkpoints:
    """The files of checkpoints in a folder, with the tensors and the state of a training in each."""

    def __init__(self, folder: Path) -> None:
        self.has_damage = self.has_whole = False
        """Whether `read` has met a damaged file, and one that is not."""
        self._last, self._previous = folder / LAST, folder / PREVIOUS

    def write(self, tensors: Mapping[str, Tensor], state: TrainingState) -> None:
        """Write a checkpoint, whole or not at all; the last one becomes the one before. Raises CannotWrite."""
        if self._last.exists():
            self._last.replace(self._previous)
        write_tensors(self._last, tensors, asdict(state))

    def read(self) -> Iterator[tuple[dict[str, Tensor], TrainingState]]:
        """Yield the content of the last checkpoint and of the one before, without what is damaged.

        Raises BadInput for a file that cannot be read now and may be whole.
        """
        for path in (self._last, self._previous):
            try:
                tensors, notes = read_tensors(path)
                state = TrainingState(**notes)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise BadInput(f"{path.name} cannot be read: {error.strerror or error}.", "Check the disk.") from error
            except ValueError:
                self.has_damage = True
                continue
            except TypeError:  # a newer studio wrote it
                self.has_whole = True
                continue
            self.has_whole = True
            yield tensors, state


class SaveTimer:
    """Tells when a checkpoint is due: often at the beginning, then every `interval` seconds."""

    def __init__(self, interval: float, now: float) -> None:
        self._limit, self._interval, self._saved = interval, FIRST_INTERVAL, now

    def is_due(self, now: float) -> bool:
        return now - self._saved > min(self._interval, self._limit)

    def note_saved(self, begin: float, end: float) -> None:
        """Note that a checkpoint was saved between two times."""
        self._saved = end
        self._interval = 2 * self._interval
        self._limit = max(self._limit, (end - begin) / MAX_SHARE)
