"""LoRA files in the layout of kohya's scripts and LyCORIS, which diffusers and most other programs read as well."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints.lora_names import split_name
from . import adapter
from .adapter import AdapterOptions
from .lora_names import format_layer
from .sdxl_components import SdxlComponents
from .small_model import Components

if TYPE_CHECKING:
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch import Tensor

FILE = "pytorch_lora_weights.safetensors"
"""The name that diffusers looks for in a folder."""
_CONVOLUTION = re.compile(r"resnets|samplers|_(in|out|emb)_layers_|skip_connection|_0_op$|_2_conv$")
_BLOCK = re.compile(r"_ff_net_|_proj_in$|_proj_out$|_mlp_fc")
_COMPONENTS = {
    "lora_unet_": "unet_",
    "lora_te_": "text_encoder_",
    "lora_te1_": "text_encoder_",
    "lora_te2_": "text_encoder_2_",
}
_SUFFIXES = {"down": "lora_down.weight", "up": "lora_up.weight", "magnitude": "dora_scale"}


def collect_tensors(components: Components, options: AdapterOptions) -> dict[str, Tensor]:
    """Return the tensors of a file in float16, by the names of kohya's scripts."""
    import torch

    tensors: dict[str, Tensor] = {}
    for component, name, layer in _walk(components):
        stem = _format(components, component, name)
        parameters = {role: value.detach().float().cpu() for role, value in adapter.read_parameters(layer).items()}
        alpha = options.scale_alpha
        if _is_whole(parameters):
            # Where both factors are whole, LyCORIS does not scale by alpha, and peft does.
            parameters["lokr_w1"] *= alpha / options.rank
            alpha = options.rank
        if "magnitude" in parameters:
            count = parameters["magnitude"].numel()
            parameters["magnitude"] = parameters["magnitude"].reshape(count, *[1] * (parameters["down"].ndim - 1))
        for role, value in parameters.items():
            # The lengths of DoRA scale the weights of the model, so that rounding them would change all of it.
            tensors[f"{stem}.{_SUFFIXES.get(role, role)}"] = (
                value if role == "magnitude" else value.half()
            ).contiguous()
        tensors[f"{stem}.alpha"] = torch.tensor(float(alpha), dtype=torch.float16)
    return tensors


def write(folder: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], name: str = FILE) -> None:
    """Write a LoRA or an embedding with its metadata and the hashes that other programs know it by."""
    from safetensors.torch import save

    content = save(dict(tensors))
    start = int.from_bytes(content[:8], "little") + 8
    header, data = json.loads(content[8:start]), content[start:]
    legacy = _join(header, metadata, data)[0x100000:0x110000]
    hashes = {
        "sshs_model_hash": hashlib.sha256(data).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(legacy).hexdigest()[:8],
    }
    (folder / name).write_bytes(_join(header, {**metadata, **hashes}, data))


def _join(header: Mapping[str, Any], metadata: Mapping[str, str], data: bytes) -> bytes:
    """Return the content of a safetensors file. Its library writes metadata in an order that differs each time."""
    text = json.dumps({"__metadata__": dict(metadata), **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def read_start(path: Path, options: AdapterOptions) -> tuple[AdapterOptions, dict[str, Any]]:
    """Read a LoRA to go on from. Returns the options that give its form, and its layers by the names of a file.

    Raises BadInput for a file that is damaged or no LoRA.
    """
    from safetensors import safe_open

    layers: dict[str, dict[str, Tensor]] = {}
    damage = api.BadInput(f"{path.name} is damaged.", "Choose another LoRA.")
    with api.model_files.quiet_load(damage), safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - no mapping
            module, role = split_name(name)
            if role:
                layers.setdefault(_normalise(module), {})[role] = file.get_tensor(name).float()
    if not layers:
        raise api.BadInput(f"{path.name} contains no layers of a LoRA.", "Choose another LoRA.")
    # The whole factors of a LoKr do not tell its rank.
    first = next((layer for layer in layers.values() if not _is_whole(layer)), next(iter(layers.values())))
    options = adapter.describe_tensors(options, first)
    alpha = first.get("alpha")
    has_convolutions = any(_CONVOLUTION.search(name) for name in layers)
    has_blocks = any(_BLOCK.search(name) for name in layers)
    options = replace(
        options,
        alpha=float(alpha) if alpha is not None else None,
        layers="convolutions" if has_convolutions else "blocks" if has_blocks else "attention",
        text_encoder=any(name.startswith(("lora_te", "text_encoder")) for name in layers),
    )
    return options, layers


def load_start(
    components: Components, layers: Mapping[str, dict[str, Tensor]], options: AdapterOptions, title: str
) -> Iterator[api.Notice]:
    """Load the layers of another LoRA into adapters. Raises BadInput for one that does not fit."""
    import torch

    loaded = set()
    for component, name, layer in _walk(components):
        spellings = [_format(components, component, name), f"{component}_{name}", name]
        found = next((key for key in map(_normalise, spellings) if key in layers), None)
        if found is None:
            continue
        loaded.add(found)
        for role, parameter in adapter.read_parameters(layer).items():
            value = layers[found].get(role)
            if value is None or value.numel() != parameter.numel():
                raise api.BadInput(
                    f"{title} does not fit: its layer {found} has another shape or kind.", "Choose another LoRA."
                )
            scale = options.scale_alpha / options.rank if role == "lokr_w1" and _is_whole(layers[found]) else 1.0
            with torch.no_grad():
                parameter.copy_(value.reshape(parameter.shape) / scale)
    if not loaded:
        raise api.BadInput(f"None of the layers of {title} has a place in the base model.", "Choose another LoRA.")
    if missing := len(layers) - len(loaded):
        yield api.Notice(f"{missing:,} of the {len(layers):,} layers of {title} are not used.", "warning")


def _is_whole(parameters: Mapping[str, Tensor]) -> bool:
    """Check whether both factors of a LoKr layer are whole matrices."""
    return "lokr_w1" in parameters and "lokr_w2" in parameters


def _walk(components: Components) -> Iterator[tuple[str, str, BaseTunerLayer]]:
    """Yield component, name and layer of each adapter."""
    for component, network in components.networks.items():
        for name, layer in adapter.find_layers(network).items():
            yield component, name, layer


def _format(components: Components, component: str, name: str) -> str:
    return format_layer(
        component,
        name,
        is_xl=isinstance(components, SdxlComponents),
        layers_per_block=components.unet.config.layers_per_block,
    )


def _normalise(module: str) -> str:
    """Return a module's name as it is compared: `unet.…to_q` and `lora_unet_…to_q` are one."""
    name = module.removeprefix("base_model.model.").replace(".", "_").replace("_processor_to_", "_to_")
    name = f"{name}_0" if name.endswith("to_out") else name
    for prefix, component in (
        ("lora_unet_", "unet_"),
        ("lora_te1_", "text_encoder_"),
        ("lora_te2_", "text_encoder_2_"),
    ):
        if name.startswith(prefix):
            return component + name.removeprefix(prefix)
    if name.startswith("lora_te_"):
        return "text_encoder_" + name.removeprefix("lora_te_")
    return name
