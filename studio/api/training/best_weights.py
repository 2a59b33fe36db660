"""The weights of a network at its best score so far."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from studio.api.model_files import UNREADABLE, read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import nn


class BestWeights:
    """The weights of a network at its lowest score so far, in a safetensors file beside the checkpoint."""

    FILE: ClassVar[str] = "best.safetensors"

    def __init__(
        self,
        network: nn.Module,
        checkpoint_dir: Path,
        *,
        score_key: str = "score",
        names: Collection[str] | None = None,
    ) -> None:
        """Begin without a score. `score_key` is the name of the score in the file's notes.

        `names` are the weights that are saved, where the others never change; None for all.
        """
        self._network, self._path, self._score_key = network, checkpoint_dir / self.FILE, score_key
        self._names = names
        self.score = math.inf
        """The lowest score so far; infinite before the first one."""

    def update(self, score: float, **notes: object) -> bool:
        """Save the network's weights with JSON notes if `score` is lower than before. Returns whether it was."""
        if not score < self.score:
            return False
        self.score = score
        weights = {
            name: value.cpu().contiguous().clone()
            for name, value in self._network.state_dict().items()
            if self._names is None or name in self._names
        }
        write_tensors(self._path, weights, {self._score_key: score, **notes})
        return True

    def resume(self) -> None:
        """Read the lowest score from the file, after the training was resumed."""
        try:
            self.score = float(read_tensors(self._path)[1][self._score_key])
        except UNREADABLE:
            self.score = math.inf

    def restore(self) -> dict[str, Any] | None:
        """Load the saved weights into the network. Returns their notes, or None if there are none that fit."""
        try:
            tensors, notes = read_tensors(self._path)
            if self._names is not None and tensors.keys() != set(self._names):
                return None
            self._network.load_state_dict(tensors, strict=self._names is None)
        except UNREADABLE:
            return None
        return notes
