"""The learning rate over the steps of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LearningRateSchedule:
    """A linear warm-up, a plateau at `learning_rate`, and a decay at the end.

    The decay takes the last `decay` of the steps (0..1, never of the warm-up) and ends at the fraction `floor` of the
    learning rate. With `constant` there is none.
    """

    steps: int
    learning_rate: float
    shape: Literal["constant", "linear", "cosine"] = "cosine"
    warm_up: int = 0
    """Number of steps."""
    decay: float = 1.0
    floor: float = 0.0

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        start = max(self.warm_up, self.steps - max(1, round(self.steps * self.decay)))
        done = min(1.0, max(0.0, (step - start) / max(1, self.steps - start)))
        match self.shape:
            case "linear":
                height = 1 - done
            case "cosine":
                height = 0.5 + 0.5 * math.cos(math.pi * done)
            case _:
                return self.learning_rate
        return self.learning_rate * (self.floor + (1 - self.floor) * height)
