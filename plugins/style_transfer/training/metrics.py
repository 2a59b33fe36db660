"""How well a style is met by pictures that the training has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import losses

if TYPE_CHECKING:
    from torch import Tensor

FILTERS = 96


@dataclass(frozen=True)
class HeldOut:
    """Photos, and paintings or (of an effect) what the photos should become: [n, 3, size, size] in -1..1 each."""

    photos: Tensor
    wanted: Tensor


def style_distance(made: Tensor, wanted: Tensor) -> float:
    """How far the patches of some pictures are from those of others, in the same 96 directions every time: 0 for the
    same pictures. For comparing trainings on the same paintings, not across them."""
    import torch

    filters = losses.patch_filters(FILTERS, torch.Generator("cpu").manual_seed(0))
    return float(losses.patch_distance(made, wanted, filters.to(made.device)))
