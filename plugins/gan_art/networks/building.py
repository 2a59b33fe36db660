"""Builds networks from their weights, whose shapes tell all widths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

from torch import Tensor, nn

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
"""Shapes of tensors by name."""
N = TypeVar("N", bound=nn.Module)


def list_shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of tensors by name."""
    return {name: tuple(value.shape) for name, value in weights.items()}


def build_network(weights: Mapping[str, Tensor], create: Callable[[Shapes], N], layout: str) -> N:
    """Create a network for the shapes of weights and load them.

    Raises ValueError, with the name of the `layout`, for weights of another network.
    """
    try:
        network = create(list_shapes(weights))
    except (KeyError, IndexError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"not the layout of {layout}") from error
    network.load_state_dict(dict(weights))
    return network
