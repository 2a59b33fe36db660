"""The state of an optimizer as tensors, for the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_GROUP = "group"
"""Prefix of the number of a parameter group."""


def read_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the slots of each parameter as `NUMBER.SLOT`, and the numbers of each group as `groupNUMBER.NAME`.

    Some optimizers change numbers of their groups, such as Prodigy its estimate of the learning rate.
    """
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    for number, slots in state["state"].items():
        tensors |= {f"{number}.{name}": value for name, value in _to_tensors(slots).items()}
    for number, group in enumerate(state["param_groups"]):
        numbers = {name: value for name, value in group.items() if name != "lr" and type(value) in (int, float)}
        tensors |= {f"{_GROUP}{number}.{name}": value for name, value in _to_tensors(numbers).items()}
    return tensors


def load_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load what `read_state` has returned."""
    slots: dict[int, dict[str, Any]] = {}
    groups = optimizer.state_dict()["param_groups"]
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        if number.startswith(_GROUP):
            groups[int(number.removeprefix(_GROUP))][name] = value.item()
        else:
            slots.setdefault(int(number), {})[name] = _from_tensor(value)
    optimizer.load_state_dict({"state": slots, "param_groups": groups})


def _to_tensors(values: Mapping[str, object]) -> dict[str, Tensor]:
    """Return tensors as they are and numbers as tensors: whole ones in int64, others in float64."""
    import torch

    types: Mapping[type, torch.dtype] = {int: torch.int64, float: torch.float64}
    return {
        name: value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=types[type(value)])
        for name, value in values.items()
        if isinstance(value, torch.Tensor) or type(value) in types
    }


def _from_tensor(value: Tensor) -> Tensor | int | float:
    """Reverse `_to_tensors`. No optimizer keeps tensors of these types without dimensions itself."""
    import torch

    is_number = value.ndim == 0 and value.dtype in (torch.int64, torch.float64)
    return value.item() if is_number else value
