"""The progress of a training, as it stands in the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class TrainingState:
    """The progress of a training. The fields are the JSON notes of the checkpoint."""

    step: int = 0
    rewinds: int = 0
    rate_scale: float = 1.0
    """Factor on the learning rate; halved at each rewind."""
    seconds: float = 0.0
    """Time spent in steps and previews."""
    loss: float = 0.0
    """Moving average."""
    steps: int | None = None
    """Number of steps, where the artist has changed it during the training."""
    learning_rate: float | None = None
    """Learning rate, where the artist has changed it during the training."""
    best_score: float | None = None
    """Lowest score so far."""
    scores_since_best: int = 0
    """Number of scores after the lowest one."""
    previews_made: int = 0
    """Number of previews that were asked for during the training and made."""
    models_made: int = 0
    """Number of models that were asked for during the training and made."""


class NotFiniteError(ArithmeticError):
    """A loss, a gradient or a weight is NaN or infinite."""
