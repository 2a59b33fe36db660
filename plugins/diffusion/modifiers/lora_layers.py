"""Layers of a LoRA file, whatever program wrote it: kohya's scripts, diffusers, peft or LyCORIS.

A tensor's name is the name of a module and a role, such as ``lora_down``. The roles of a layer tell its kind: LoRA with
LoCon (Hu et al. 2021), LoHa (Hyeon-Woo et al. 2022), LoKr (Yeh et al. 2024), full difference, DoRA (Liu et al. 2024).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints import lora_names

if TYPE_CHECKING:
    from torch import Tensor

_FORMAT_NOTES = "lora_adapter_metadata"
"""Key of the header where diffusers writes peft's settings as JSON."""
_PEFT_CONFIG = "adapter_config.json"


@dataclass
class Layer:
    """Tensors of one module by role, such as ``down``, ``up`` and ``alpha``. `module` is its name in the file."""

    module: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    scale: float | None = None
    """Factor that peft's settings give; else it follows from `alpha` and the rank."""


@dataclass(frozen=True)
class LoraFile:
    """Content of a LoRA file without the textual inversions in it: its layers, and tensors without a known role."""

    path: Path
    tensors: Mapping[str, Tensor]
    layers: tuple[Layer, ...]
    unknown: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Texts of the header."""

    @property
    def embeddings(self) -> dict[str, Tensor]:
        """Tensors of the textual inversions in the file."""
        return {name: value for name, value in self.tensors.items() if name.startswith(lora_names.BUNDLED_EMBEDDING)}

    @property
    def description(self) -> str:
        """Kind and family with an article: ``a LoHa for Stable Diffusion XL``."""
        return lora_names.describe({name: tuple(value.shape) for name, value in self.tensors.items()})


def read_file(path: Path) -> LoraFile:
    """Read a LoRA file. Raises BadInput for a damaged one, and for numbers that are not finite or no fractions."""
    tensors, metadata = _read_tensors(path)
    _check_numbers(path, tensors)
    return build_file(path, tensors, metadata)


def build_file(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> LoraFile:
    """Group the tensors of a LoRA file, or those that were converted from one, by layer."""
    notes = _read_settings(path, metadata.get(_FORMAT_NOTES))
    layers: dict[str, Layer] = {}
    unknown = []
    for name, value in tensors.items():
        if name.startswith(lora_names.BUNDLED_EMBEDDING):
            continue
        module, role = lora_names.split_name(name)
        if not role:
            unknown.append(name)
            continue
        layers.setdefault(module, Layer(module)).tensors[role] = value
    for layer in layers.values():
        layer.scale = _scale_in_settings(layer, notes)
    return LoraFile(path, tensors, tuple(layers.values()), tuple(unknown), metadata)


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    from safetensors import safe_open

    damage = api.BadInput(f"{path.name} is damaged.", "Download it again.")
    with api.model_files.quiet_load(damage), safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        header = file.metadata() or {}
    return tensors, header


def _read_settings(path: Path, written: str | None) -> Mapping[str, Any]:
    """Read peft's settings in a header, where each has its component's name before it, or in the file beside."""
    beside = path.with_name(_PEFT_CONFIG)
    try:
        if written is not None:
            settings = json.loads(written)
        elif path.name == "adapter_model.safetensors" and beside.is_file():
            settings = json.loads(beside.read_bytes()[: 1 << 20])
        else:
            return {}
    except (OSError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _scale_in_settings(layer: Layer, settings: Mapping[str, Any]) -> float | None:
    """Compute alpha / rank, or alpha / √rank with rank stabilisation; None where the settings have no alpha."""
    if "down" not in layer.tensors:
        return None
    rank = layer.tensors["down"].shape[0]
    for prefix in ("unet.", "transformer.", "text_encoder_2.", "text_encoder.", ""):
        if f"{prefix}lora_alpha" not in settings or (prefix and not layer.module.startswith(prefix)):
            continue
        module = layer.module.removeprefix(prefix).removeprefix("base_model.model.")
        patterns = settings.get(f"{prefix}alpha_pattern")
        patterns = patterns if isinstance(patterns, dict) else {}
        own = [alpha for key, alpha in patterns.items() if f".{module}".endswith(f".{str(key).lstrip('^')}")]
        alpha = own[0] if own else settings[f"{prefix}lora_alpha"]
        if not isinstance(alpha, int | float) or not rank:
            return None
        return float(alpha) / (rank**0.5 if settings.get(f"{prefix}use_rslora") else rank)
    return None


def _check_numbers(path: Path, tensors: Mapping[str, Tensor]) -> None:
    whole = [name for name, value in tensors.items() if not value.is_floating_point() and value.ndim]
    if whole:
        dtype = str(tensors[whole[0]].dtype).removeprefix("torch.")
        raise api.BadInput(
            f"{path.name} holds whole numbers ({dtype}) where a LoRA has fractions, such as {whole[0]}.",
            "Choose a file that is not quantised.",
        )
    broken = [name for name, value in tensors.items() if not value.float().isfinite().all()]
    if broken:
        raise api.BadInput(
            f"{path.name} is damaged: {len(broken)} of its {len(tensors)} tensors hold numbers that are not finite, "
            f"such as {broken[0]}.",
            "Download it again, or ask who trained it.",
        )
