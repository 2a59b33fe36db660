"""Estimates what a training takes, before it begins: work, memory, and space on the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.api.estimate import Estimate
from studio.api.training.disk_space import OPTIMIZER_SLOTS, estimate_disk
from studio.api.training.params import TrainingDefaults, TrainingParams

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

RUNTIME_BYTES = 600 * 2**20
"""Typical memory of the libraries and the device's context."""


@dataclass(frozen=True)
class NetworkCost:
    """Sizes of the networks of a training."""

    weights: int
    """Number of trained values."""
    activations: int
    """Bytes that one sample keeps in memory for the gradient, in float32."""
    frozen: int = 0
    """Bytes of weights that are used and not trained."""


def measure_network(build: Callable[[], nn.Module], forward: Callable[[nn.Module], Tensor]) -> NetworkCost:
    """Return the cost of a network for one sample. `forward` runs it on tensors of the device ``meta``.

    Nothing is computed and no memory is used: the tensors have shapes only.
    """
    import torch

    sizes: dict[int, tuple[torch.UntypedStorage, int]] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        sizes[storage._cdata] = storage, storage.nbytes()
        return value

    with torch.device("meta"):
        network = build().train()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            output = forward(network)
    parameters = [*network.parameters()]
    for value in parameters:
        sizes.pop(value.untyped_storage()._cdata, None)
    del output
    return NetworkCost(
        weights=sum(value.numel() for value in parameters if value.requires_grad),
        activations=sum(size for _, size in sizes.values()),
        frozen=sum(4 * value.numel() for value in parameters if not value.requires_grad),
    )


def estimate_training(
    params: TrainingParams,
    numbers: TrainingDefaults,
    cost: NetworkCost | None,
    *,
    rate: str,
    sample_size: float,
    samples: int = 0,
    notes: Mapping[str, str] | None = None,
) -> Estimate:
    """Return the estimate of a training with these numbers.

    `cost` is None where the network is not known yet. The work is steps × batch × `sample_size`, in pixels or tokens.
    `rate` tells apart what differs in speed: the kind, the network's size and the size of a sample. With `samples` the
    epochs are noted beside the steps.
    """
    is_averaged = bool(params.ema)
    memory = disk = 0
    if cost:
        weights = 4 * cost.weights * (2 + is_averaged + OPTIMIZER_SLOTS)
        memory = RUNTIME_BYTES + weights + cost.frozen + numbers.batch * cost.activations
        disk = estimate_disk(cost.weights, params, numbers.steps, averaged=is_averaged)
    speed = f"{rate} steps" if cost else ""  # without its size a network's speed is not comparable
    more = dict(notes or {})
    if samples and (note := describe_epochs(numbers.steps * numbers.batch, samples)):
        more.setdefault("steps", note)
    return Estimate(memory, numbers.steps * numbers.batch * sample_size, speed, more, disk=disk)


def describe_epochs(seen: int, samples: int) -> str:
    """Say how often each sample is used, and what that means at the extremes."""
    epochs = seen / samples
    if epochs < 1:
        return f"{epochs:.2f} epochs: not all of the data is used"
    return f"{epochs:,.0f} epochs" if epochs >= 10 else f"{epochs:.1f} epochs"
