"""The dialog that shows and mends training data before a training."""

from studio.ui.data_check.dialog import DataDialog

__all__ = ["DataDialog"]
