"""Evaluates a style on images that the training has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import losses

if TYPE_CHECKING:
    from torch import Tensor

FILTERS = 96


@dataclass(frozen=True)
class Holdout:
    """Held-out photos, and paintings or, for an effect, the targets of the photos: [n, 3, size, size] in -1..1 each."""

    photos: Tensor
    targets: Tensor


def compute_style_distance(images: Tensor, targets: Tensor) -> float:
    """Compute the patch distance along 96 fixed directions; 0 for the same images.

    It compares trainings on the same paintings, not on different ones.
    """
    import torch

    filters = losses.sample_patch_filters(FILTERS, torch.Generator("cpu").manual_seed(0))
    return float(losses.compute_patch_distance(images, targets, filters.to(images.device)))
