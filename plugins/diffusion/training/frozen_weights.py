"""Storage of frozen weights in less memory, or in main memory, while adapters beside them are trained.

A linear layer fetches its weight for the forward pass and again for the backward pass, and keeps neither. Hooks that
change weights in place, as libraries have them for inference, would leave the fetched ones in memory until the gradient
is computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from studio import api

from ..models import placement

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Storage = Literal["full", "8bit", "4bit", "offload"]
STORAGE_LABELS = ("Full", "8 bits", "4 bits (bitsandbytes)", "Offloaded")
_SENTENCES: dict[Storage, str] = {
    "8bit": "the base model's weights are kept in 8 bits, which changes its results a little",
    "4bit": "the base model's weights are kept in 4 bits, which changes its results",
    "offload": "the base model's weights stay in main memory until they are used, which is slow",
}
_BYTES: dict[Storage, float] = {"8bit": 1.02, "4bit": 0.57, "offload": 0.1}
"""Bytes for a weight on the device, with scales."""
_WORKSPACE = 3 << 30
"""Bytes that stay free for activations and adapters."""


class StoredWeight(ABC):
    """A weight [out, in] that is stored in another form. `device` and `dtype` are those it is computed with."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype

    @abstractmethod
    def fetch(self, dtype: torch.dtype) -> Tensor:
        """Return the weight on its device."""


class _Int8Weight(StoredWeight):
    """Whole numbers from -127 to 127 with a factor for each row."""

    def __init__(self, weight: Tensor, device: torch.device) -> None:
        import torch

        super().__init__(device, weight.dtype)
        values = weight.to(device).float()
        self._scales = (values.abs().amax(1, keepdim=True) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        self._values = (values / self._scales).round().to(torch.int8)

    def fetch(self, dtype: torch.dtype) -> Tensor:
        return (self._values.float() * self._scales).to(dtype)


class _Nf4Weight(StoredWeight):
    """Numbers of 4 bits at the quantiles of a normal distribution (Dettmers et al. 2023, arXiv 2305.14314)."""

    def __init__(self, weight: Tensor, device: torch.device) -> None:
        super().__init__(device, weight.dtype)
        self._library = _import_bitsandbytes()
        self._values, self._state = self._library.quantize_4bit(weight.to(device).contiguous(), quant_type="nf4")

    def fetch(self, dtype: torch.dtype) -> Tensor:
        weight: Tensor = self._library.dequantize_4bit(self._values, self._state)
        return weight.to(dtype)


class _HostWeight(StoredWeight):
    """A weight in main memory."""

    def __init__(self, weight: Tensor, device: torch.device) -> None:
        super().__init__(device, weight.dtype)
        self._weight = weight.cpu()
        if device.type == "cuda":
            self._weight = self._weight.pin_memory()

    def fetch(self, dtype: torch.dtype) -> Tensor:
        return self._weight.to(self.device, non_blocking=True).to(dtype)


_KINDS: dict[Storage, type[_Int8Weight | _Nf4Weight | _HostWeight]] = {
    "8bit": _Int8Weight,
    "4bit": _Nf4Weight,
    "offload": _HostWeight,
}


def store_weights(networks: Sequence[nn.Module], storage: Storage, device: str) -> int:
    """Store the weights of frozen linear layers in another form. Returns the number of layers that are changed.

    `networks` are a network that is trained and its averaged copies, which share the frozen layers. Only layers in
    numbered blocks are changed, since the first and the last ones of a network need their precision. Raises StudioError
    if bitsandbytes is missing.
    """
    import torch

    names = [name for name, layer in _list_linear_layers(networks[0]) if not layer.weight.requires_grad]
    for name in names:
        layer: Any = networks[0].get_submodule(name)
        weight = _KINDS[storage](layer.weight.detach(), torch.device(device))
        stored = _get_layer_class()(weight, layer)
        parent, _, last = name.rpartition(".")
        for network in networks:
            setattr(network.get_submodule(parent), last, stored)
    return len(names)


def _list_linear_layers(network: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    from torch import nn

    for name, module in network.named_modules():
        if type(module) is nn.Linear and any(part.isdigit() for part in name.split(".")[:-1]):
            yield name, module


def is_stored(network: nn.Module) -> bool:
    """Check whether the network has layers of `store_weights`."""
    return any(isinstance(module, _get_layer_class()) for module in network.modules())


@cache
def _get_layer_class() -> Any:
    """Return the class of a linear layer with a stored weight, which is shared by copies of its network."""
    import torch
    from torch import nn

    class FrozenLinear(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, values: Tensor, weight: StoredWeight, bias: Tensor | None) -> Tensor:
            ctx.weight = weight
            return nn.functional.linear(values, weight.fetch(values.dtype), bias)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
            (gradient,) = gradients
            return gradient @ ctx.weight.fetch(gradient.dtype), None, None

    class StoredLinear(nn.Module):
        def __init__(self, stored: StoredWeight, layer: nn.Linear) -> None:
            super().__init__()
            self.in_features, self.out_features = layer.in_features, layer.out_features
            self.stored, self.bias = stored, layer.bias

        @property
        def weight(self) -> Tensor:
            return self.stored.fetch(self.stored.dtype)

        def forward(self, values: Tensor) -> Tensor:
            kind = values.device.type
            dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else values.dtype
            bias = None if self.bias is None else self.bias.to(dtype)
            output: Tensor = FrozenLinear.apply(values.to(dtype), self.stored, bias)  # type: ignore[no-untyped-call]
            return output

        def __deepcopy__(self, memo: dict[int, Any]) -> StoredLinear:
            return self

    return StoredLinear


def choose_storage(requested: Literal["auto"] | Storage, networks: Iterable[nn.Module], device: str) -> Storage:
    """Choose how to store the frozen weights of networks by what the artist asks for, or by the free memory."""
    if requested == "full" or (requested in ("auto", "offload") and not placement.has_own_memory(device)):
        return "full"
    if requested != "auto":
        return requested
    weights = [value for network in networks for value in network.parameters()]
    free = placement.free_memory(device)[0] - _WORKSPACE
    if sum(value.numel() * value.dtype.itemsize for value in weights) <= free:
        return "full"
    return "8bit" if sum(value.numel() for value in weights) * _BYTES["8bit"] <= free else "offload"


def describe_storage(storage: Storage) -> str:
    """Return the end of a sentence about what is done with the frozen weights."""
    return _SENTENCES[storage]


def _import_bitsandbytes() -> Any:
    try:
        import bitsandbytes.functional
    except ImportError as error:
        raise api.StudioError(
            "Keeping the base model in 4 bits needs the package bitsandbytes.",
            "Install it with: pip install bitsandbytes. Or choose 8 bits.",
        ) from error
    return bitsandbytes.functional
