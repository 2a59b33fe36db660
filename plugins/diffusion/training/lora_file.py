"""LoRA files in the layout of kohya's scripts and LyCORIS, which diffusers and most other programs read as well."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints.lora_names import split_name
from . import adapter
from .adapter import AdapterOptions
from .flow_model import FlowModel
from .lora_names import format_layer
from .sdxl_components import SdxlComponents
from .trainable_model import TrainableModel

if TYPE_CHECKING:
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch import Tensor

FILE = "pytorch_lora_weights.safetensors"
"""The name that diffusers looks for in a folder."""
_CONVOLUTION = re.compile(r"resnets|samplers|_(in|out|emb)_layers_|skip_connection|_0_op$|_2_conv$")
_KERNEL = re.compile(r"_conv[12]$|samplers_0_conv$|_in_layers_2$|_out_layers_3$|_0_op$|_2_conv$")
"""Convolutions over several pixels, which may have a rank of their own."""
_BLOCK = re.compile(
    r"_ff_(context_)?net_|_(img|txt)_mlp_|_feed_forward_|_ff_conv_|_proj_in$|_proj_out$|_proj_mlp$|_mlp_fc"
)
_SUFFIXES = {"down": "lora_down.weight", "up": "lora_up.weight", "magnitude": "dora_scale"}
_TRANSFORMER_SUFFIXES = {"down": "lora_A.weight", "up": "lora_B.weight", "magnitude": "lora_magnitude_vector"}
"""Names of diffusers, which other programs read for transformers as well."""
_TRANSFORMER = "transformer."


def collect_tensors(model: TrainableModel) -> dict[str, Tensor]:
    """Return the tensors of a file in float16, by the names of kohya's scripts, or of diffusers for transformers."""
    import torch

    tensors: dict[str, Tensor] = {}
    is_transformer = isinstance(model, FlowModel)
    suffixes = _TRANSFORMER_SUFFIXES if is_transformer else _SUFFIXES
    for component, name, layer in _walk(model):
        stem = _format(model, component, name)
        parameters = {role: value.detach().float().cpu() for role, value in adapter.read_parameters(layer).items()}
        rank, alpha = adapter.read_scale(layer)
        if _is_whole(parameters):
            # Where both factors are whole, LyCORIS does not scale by alpha, and peft does.
            parameters["lokr_w1"] = parameters["lokr_w1"] * (alpha / rank)
            alpha = rank
        has_alpha = not (is_transformer and "up" in parameters)
        if not has_alpha:
            # Not all programs read the alpha of a transformer's LoRA; without one, all take the rank.
            parameters["up"] = parameters["up"] * (alpha / rank)
        else:
            tensors[f"{stem}.alpha"] = torch.tensor(float(alpha), dtype=torch.float16)
        if "magnitude" in parameters:
            count = parameters["magnitude"].numel()
            parameters["magnitude"] = parameters["magnitude"].reshape(count, *[1] * (parameters["down"].ndim - 1))
        for role, value in parameters.items():
            # The lengths of DoRA scale the weights of the model, so that rounding them would change all of it.
            tensors[f"{stem}.{suffixes.get(role, role)}"] = (
                value if role == "magnitude" else value.half()
            ).contiguous()
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
        header = file.metadata() or {}
    if not layers:
        raise api.BadInput(f"{path.name} contains no layers of a LoRA.", "Choose another LoRA.")
    # The whole factors of a LoKr do not tell its rank.
    telling = {name: layer for name, layer in layers.items() if not _is_whole(layer)} or layers
    kernels = [layer for name, layer in telling.items() if _KERNEL.search(name)]
    plain = [layer for name, layer in telling.items() if not _KERNEL.search(name)] or kernels
    options, alpha = _describe(plain[0], options)
    conv_options, conv_alpha = _describe((kernels or plain)[0], options)
    if alpha is None and all(name.startswith("transformer_") for name in layers):
        alpha = conv_alpha = _restore_alpha(layers.values(), header.get("ss_network_alpha"), options.rank)
    has_convolutions = any(_CONVOLUTION.search(name) for name in layers)
    has_blocks = any(_BLOCK.search(name) for name in layers)
    options = replace(
        options,
        alpha=alpha,
        conv_rank=conv_options.rank if conv_options.rank != options.rank else None,
        conv_alpha=conv_alpha if conv_alpha != alpha else None,
        layers="convolutions" if has_convolutions else "blocks" if has_blocks else "attention",
        text_encoder=any(name.startswith(("lora_te", "text_encoder")) for name in layers),
    )
    return options, layers


def _describe(layer: dict[str, Tensor], options: AdapterOptions) -> tuple[AdapterOptions, float | None]:
    """Return the form of a layer, and its alpha."""
    alpha = layer.get("alpha")
    return adapter.describe_tensors(options, layer), None if alpha is None else float(alpha)


def _restore_alpha(layers: Iterable[dict[str, Tensor]], alpha: str | None, rank: int) -> float | None:
    """Undo the scaling of `collect_tensors`, with the alpha that the metadata has."""
    try:
        scale = float(alpha or "") / rank
    except ValueError:
        return None
    if not 0 < scale < math.inf:
        return None
    for layer in layers:
        if "up" in layer:
            layer["up"] = layer["up"] / scale
    return scale * rank


def load_start(model: TrainableModel, layers: Mapping[str, dict[str, Tensor]], title: str) -> Iterator[api.Notice]:
    """Load the layers of another LoRA into adapters. Raises BadInput for one that does not fit."""
    import torch

    loaded = set()
    for component, name, layer in _walk(model):
        spellings = [_format(model, component, name), f"{component}_{name}", name]
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
            rank, alpha = adapter.read_scale(layer)
            scale = alpha / rank if role == "lokr_w1" and _is_whole(layers[found]) else 1.0
            with torch.no_grad():
                parameter.copy_(value.reshape(parameter.shape) / scale)
    if not loaded:
        raise api.BadInput(f"None of the layers of {title} has a place in the base model.", "Choose another LoRA.")
    if missing := len(layers) - len(loaded):
        yield api.Notice(f"{missing:,} of the {len(layers):,} layers of {title} are not used.", "warning")


def _is_whole(parameters: Mapping[str, Tensor]) -> bool:
    """Check whether both factors of a LoKr layer are whole matrices."""
    return "lokr_w1" in parameters and "lokr_w2" in parameters


def _walk(model: TrainableModel) -> Iterator[tuple[str, str, BaseTunerLayer]]:
    """Yield component, name and layer of each adapter."""
    for component, network in model.networks.items():
        for name, layer in adapter.find_layers(network).items():
            yield component, name, layer


def _format(model: TrainableModel, component: str, name: str) -> str:
    if isinstance(model, FlowModel):
        return f"{_TRANSFORMER}{name}"
    return format_layer(
        component,
        name,
        is_xl=isinstance(model, SdxlComponents),
        layers_per_block=model.denoiser.config.layers_per_block,
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
