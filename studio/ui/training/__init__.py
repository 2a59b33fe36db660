"""The training window: plots, previews and controls of a training."""

from studio.ui.training.training_window import TrainingWindow

__all__ = ["TrainingWindow"]
