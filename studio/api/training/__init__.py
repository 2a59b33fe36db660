"""The kit for trainings: a loop with checkpoints and a record, and the parameters that trainings share.

A tool subclasses `Training` and calls its `run`. Pausing, recovery from NaN, previews, intermediate models, early
stopping and the artist's changes during the training come with it.
"""

from studio.api.training.best_weights import BestWeights
from studio.api.training.forecast import NetworkCost, describe_epochs, estimate_training, measure_network
from studio.api.training.loop import LOSS_WINDOW, MAX_REWINDS, Training
from studio.api.training.memory_saving import CHECKPOINTING, MicroBatches, checkpoint_modules, enable_checkpointing
from studio.api.training.params import TrainingDefaults, TrainingParams, describe_shortage, require_samples
from studio.api.training.precision import autocast
from studio.api.training.randomness import step_generator
from studio.api.training.schedule import LearningRateSchedule
from studio.api.training.state import NotFiniteError, TrainingState

__all__ = [
    "CHECKPOINTING",
    "LOSS_WINDOW",
    "MAX_REWINDS",
    "BestWeights",
    "LearningRateSchedule",
    "MicroBatches",
    "NetworkCost",
    "NotFiniteError",
    "Training",
    "TrainingDefaults",
    "TrainingParams",
    "TrainingState",
    "autocast",
    "checkpoint_modules",
    "describe_epochs",
    "describe_shortage",
    "enable_checkpointing",
    "estimate_training",
    "measure_network",
    "require_samples",
    "step_generator",
]
