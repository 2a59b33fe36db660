"""Children of latents: layers from one parent or another, and mutation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from .layers import split_layers

if TYPE_CHECKING:
    from torch import Generator, Tensor

Crossover = Literal["layers", "ranges", "blend"]


def mix_layers(base: Tensor, others: Sequence[Tensor], weights: Sequence[float], amounts: Tensor) -> Tensor:
    """Return the styles [layers, size] of a base, moved towards the weighted mean of others.

    `amounts` [layers] says how far in each layer: 0 is the base, 1 the mean of the others.
    """
    total = sum(weights)
    mean = sum(weight / total * other for weight, other in zip(weights, others, strict=True))
    return base + amounts[:, None] * (mean - base)


def cross(parents: Sequence[Tensor], kind: Crossover, generator: Generator) -> Tensor:
    """Return the styles of a child of parents with styles [layers, size].

    Each layer is that of a parent that is drawn for it, or for its range; or all are blends with drawn weights.
    """
    import torch

    stacked = torch.stack([*parents])
    count = stacked.shape[1]
    if kind == "blend":
        drawn = -torch.rand(len(parents), generator=generator).clamp_min(1e-6).log()
        return torch.einsum("p,pls->ls", drawn / drawn.sum(), stacked)
    if kind == "ranges":
        choices = torch.empty(count, dtype=torch.long)
        for numbers in split_layers(count):
            choices[numbers.start : numbers.stop] = torch.randint(len(parents), (1,), generator=generator)
    else:
        choices = torch.randint(len(parents), (count,), generator=generator)
    return stacked[choices, torch.arange(count)]


def mutate(styles: Tensor, stranger: Tensor, mean: Tensor, strength: float) -> Tensor:
    """Return styles with some of a stranger's in them: at 0 they stay, at 1 only the stranger is left.

    Around the mean style, so that mutants are as varied as other images.
    """
    kept = math.sqrt(1 - strength**2)
    return mean + kept * (styles - mean) + strength * (stranger - mean)
