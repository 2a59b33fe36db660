"""Quantises the weights of convolutions and linear layers to int8 with one scale per output channel.

They take half the space of float16, and the styled image changes by less than 1 of 255 on average in the starters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SCALE = ".scale"
STEPS = 127


def quantize(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert tensors of 2 and 4 dimensions to int8 with float16 scales beside them, all others to float16."""
    import torch

    quantized: dict[str, Tensor] = {}
    for name, value in weights.items():
        if value.ndim not in (2, 4) or not value.is_floating_point():
            quantized[name] = value.half() if value.is_floating_point() else value
            continue
        scale = (value.float().abs().amax(dim=[*range(1, value.ndim)], keepdim=True) / STEPS).clamp(min=6e-8).half()
        quantized[name] = (value.float() / scale.float()).round().clamp(-STEPS, STEPS).to(torch.int8)
        quantized[name + SCALE] = scale
    return quantized


def dequantize(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert int8 tensors back to float32 and leave others as they are. Raises ValueError for int8 without scales."""
    import torch

    dequantized: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name.endswith(SCALE) and name.removesuffix(SCALE) in weights:
            continue
        if value.dtype == torch.int8:
            if name + SCALE not in weights:
                raise ValueError(f"{name} has no scale")
            value = value.float() * weights[name + SCALE].float()
        dequantized[name] = value
    return dequantized
