"""LoRAs whose names diffusers converts, such as those of the first program for FLUX, and the layers that it leaves out.

Its converters drop some layers without a word, and refuse a file for a single name that they do not know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..checkpoints import lora_names
from .lora_layers import LoraFile
from .lora_modules import ModuleNames

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

_PREFIXES = ("diffusion_model.", "transformer.", "base_model.model.", "model.diffusion_model.")
"""Beginnings of names that converters remove before they name what they do not know."""
_SAMPLE = 4096
_MAX_HALF_INTEGER = 2048
"""The largest whole number up to which float16 holds all."""


@dataclass(frozen=True)
class Conversion:
    """Holds the tensors of a file that diffusers can load, and names the modules that find no place."""

    tensors: Mapping[str, Tensor]
    homeless: tuple[str, ...]


def convert(pipe: DiffusionPipeline | type[DiffusionPipeline], modules: ModuleNames[Any], file: LoraFile) -> Conversion:
    """Find the layers that a pipeline, or its class, places among modules.

    Raises BadInput, KeyError or ValueError where it can convert none.
    """
    known = {layer.module for layer in file.layers}
    tensors = {name: value for name, value in file.tensors.items() if lora_names.split_name(name)[0] in known}
    refused: list[str] = []
    try:
        placed = _find_placed(pipe, modules, tensors)
    except ValueError as error:
        refused = [layer.module for layer in file.layers if _is_named(layer.module, str(error))]
        if not 0 < len(refused) < len(file.layers):
            raise
        tensors = {name: tensors[name] for name in tensors if lora_names.split_name(name)[0] not in refused}
        placed = _find_placed(pipe, modules, tensors)
    homeless = [layer.module for layer in file.layers if layer.module not in placed]
    return Conversion(tensors, tuple(homeless))


def _is_named(module: str, sentence: str) -> bool:
    spellings = [module, *(module.removeprefix(prefix) for prefix in _PREFIXES)]
    return any(re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", sentence) for name in spellings)


def _find_placed(pipe: Any, modules: ModuleNames[Any], tensors: Mapping[str, Tensor]) -> set[str]:
    """Convert tensors that hold the number of their module in place of weights, and look where the numbers arrive."""
    import torch

    names = list(dict.fromkeys(lora_names.split_name(name)[0] for name in tensors))
    numbers = {name: number for number, name in enumerate(names, 1)}
    dtype = torch.float16 if len(names) <= _MAX_HALF_INTEGER else torch.float32
    ranks = {
        module: value.shape[0]
        for module, role, value in ((*lora_names.split_name(name), value) for name, value in tensors.items())
        if role == "down"
    }
    traced = {}
    for name, value in tensors.items():
        module, role = lora_names.split_name(name)
        # With an alpha that equals the rank, converters scale by 1.
        number = ranks.get(module, 1) if role == "alpha" else numbers[module]
        traced[name] = torch.full(tuple(value.shape), float(number), dtype=dtype)
    converted = pipe.lora_state_dict(traced)
    state = converted[0] if isinstance(converted, tuple) else converted
    arrived: set[int] = set()
    for name, value in state.items():
        module, role = lora_names.split_name(name)
        if role and role != "alpha" and modules.find(module) is not None:
            flat = value.flatten()
            arrived.update(map(int, flat[:: max(1, flat.numel() // _SAMPLE)].unique().tolist()))
    return {name for name, number in numbers.items() if number in arrived}
