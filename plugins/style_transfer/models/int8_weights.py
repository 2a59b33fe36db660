"""Weights of convolutions in eight bits, each output channel with a scale of its own: half as large as float16, and no
difference that can be seen (in the starters less than one of 255 in the mean)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SCALE = ".scale"
STEPS = 127


def packed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of four dimensions as int8 with float16 scales beside them; all others as float16."""
    import torch

    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if value.ndim != 4 or not value.is_floating_point():
            found[name] = value.half() if value.is_floating_point() else value
            continue
        scale = (value.float().abs().amax(dim=(1, 2, 3), keepdim=True) / STEPS).clamp(min=6e-8).half()
        found[name] = (value.float() / scale.float()).round().clamp(-STEPS, STEPS).to(torch.int8)
        found[name + SCALE] = scale
    return found


def unpacked(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `packed` was given, nearly; other weights as they are. Raises ValueError for int8 without scales."""
    import torch

    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name.endswith(SCALE) and name.removesuffix(SCALE) in weights:
            continue
        if value.dtype == torch.int8:
            if name + SCALE not in weights:
                raise ValueError(f"{name} has no scale")
            value = value.float() * weights[name + SCALE].float()
        found[name] = value
    return found
