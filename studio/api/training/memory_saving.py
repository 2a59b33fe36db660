"""Ways to train with less memory and the same gradient."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


class MicroBatches:
    """Splits a batch into parts that are computed one after the other, more of them each time memory is short."""

    def __init__(self) -> None:
        self.count = 1
        self._size = 1

    def split(self, size: int) -> list[slice]:
        """Return the parts of a batch of `size` samples."""
        self._size = size
        count = min(self.count, size)
        edges = [size * number // count for number in range(count + 1)]
        return [slice(first, end) for first, end in pairwise(edges)]

    def increase(self) -> str:
        """Halve the parts. Returns the end of a sentence about it; empty if a part is a single sample already."""
        if self.count >= self._size:
            return ""
        self.count *= 2
        return f"the batch is computed in {min(self.count, self._size)} parts with the same gradient."


def checkpoint_modules(modules: Iterable[nn.Module]) -> None:
    """Compute the activations of modules again for the gradient, instead of keeping them (Chen et al. 2016)."""
    from torch.utils.checkpoint import checkpoint

    for module in modules:
        module.forward = partial(checkpoint, module.forward, use_reentrant=False)


CHECKPOINTING = "activations are computed again for the gradient, which takes a third longer."
"""The end of a sentence about gradient checkpointing."""


def enable_checkpointing(model: Any) -> None:
    """Turn on gradient checkpointing in a model of transformers, whose method was renamed in version 5."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
