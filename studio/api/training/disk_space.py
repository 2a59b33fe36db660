"""The space that a training takes on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from studio.api.training.params import TrainingParams
from studio.core.errors import CannotWrite
from studio.core.humanize import format_size
from studio.core.untrusted_files import read_or_else

PREVIEW_BYTES = 150_000
"""Typical size of a preview in the record."""
OPTIMIZER_SLOTS = 2
"""Values per weight that an optimizer such as Adam keeps."""


def estimate_disk(weights: int, params: TrainingParams, steps: int, *, averaged: bool = True) -> int:
    """Return the bytes that a training of `weights` trained values writes, until its model is saved.

    A checkpoint is written beside the one before. `averaged` tells whether it has the EMA of the weights.
    """
    checkpoint = 4 * weights * (1 + averaged + OPTIMIZER_SLOTS)
    return estimate_record(params, steps) + 2 * checkpoint + 4 * weights * (count_kept_models(params, steps) + 1)


def estimate_record(params: TrainingParams, steps: int) -> int:
    """Return the bytes of the previews of a training."""
    return PREVIEW_BYTES * (steps // params.preview_every + 2)


def count_kept_models(params: TrainingParams, steps: int) -> int:
    """Return the number of intermediate models that a training keeps."""
    return max(0, steps - 1) // params.keep_every if params.keep_every else 0


def require_space(folder: Path, needed: int) -> None:
    """Raise CannotWrite with one sentence if the disk of a folder has less than `needed` bytes left."""
    free = read_or_else(None, lambda: shutil.disk_usage(folder).free)
    if free is not None and free < needed:
        raise CannotWrite(
            f"This training needs {format_size(needed)} on the disk, and {format_size(free)} are left.",
            "Free some space, or keep fewer intermediate models.",
        )
