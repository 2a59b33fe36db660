"""Find the modules of a pipeline that the layers of a LoRA file mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

M = TypeVar("M")
Module: TypeAlias = "nn.Module"
_DENOISERS = ("unet", "transformer", "prior")
_TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
_PREFIXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("lora_unet_", _DENOISERS),
    ("lora_transformer_", _DENOISERS),
    ("lora_te1_", ("text_encoder",)),
    ("lora_te2_", ("text_encoder_2",)),
    ("lora_te3_", ("text_encoder_3",)),
    ("lora_te_", ("text_encoder",)),
    ("lycoris_", (*_DENOISERS, *_TEXT_ENCODERS)),
    ("unet_", ("unet",)),
    ("transformer_", ("transformer",)),
    ("text_encoder_2_", ("text_encoder_2",)),
    ("text_encoder_3_", ("text_encoder_3",)),
    ("text_encoder_", ("text_encoder",)),
    ("model_diffusion_model_", _DENOISERS),
    ("diffusion_model_", _DENOISERS),
)
"""Prefixes of modules in files, with underscores for dots, and the components that they stand for."""
_OLD_ATTENTION = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
_SGM_RESNET = {
    "in_layers_0": "norm1",
    "in_layers_2": "conv1",
    "emb_layers_1": "time_emb_proj",
    "out_layers_0": "norm2",
    "out_layers_3": "conv2",
    "skip_connection": "conv_shortcut",
}
_SGM_OTHERS = {
    "input_blocks_0_0": "conv_in",
    "out_0": "conv_norm_out",
    "out_2": "conv_out",
    "time_embed_0": "time_embedding_linear_1",
    "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1",
    "label_emb_0_2": "add_embedding_linear_2",
}
_SGM_BLOCK = re.compile(r"(input_blocks|output_blocks)_(\d+)_(\d+)_(\w+)|(middle_block)_(\d)_(\w+)")


class ModuleNames(Generic[M]):
    """Modules of a denoiser and text encoders by component and name, found by the names that LoRA files give them."""

    def __init__(self, modules: Mapping[str, Mapping[str, M]], layers_per_block: int = 2) -> None:
        self._modules: dict[str, dict[str, M]] = {}
        self._layers_per_block = layers_per_block
        for component, named in modules.items():
            names = {name.replace(".", "_"): module for name, module in named.items() if name}
            # Releases of transformers differ in whether CLIP's layers lie in a module of their own.
            self._modules[component] = {name.removeprefix("text_model_"): names[name] for name in names}

    def find(self, module: str) -> M | None:
        """Find the module that a LoRA file calls `module`; None where there is none of that name."""
        components, name = split_module(module)
        for component in components:
            modules = self._modules.get(component, {})
            for candidate in self._spellings(name):
                if candidate in modules:
                    return modules[candidate]
        return None

    def is_in_text_encoder(self, module: M) -> bool:
        """Check whether a module belongs to a text encoder, which a LoRA may have a weight of its own for."""
        return any(one is module for name in _TEXT_ENCODERS for one in self._modules.get(name, {}).values())

    def _spellings(self, name: str) -> list[str]:
        """List the names that a module may have: today's, those of old attention processors, and of the sgm UNet."""
        spellings = [f"{name}_0" if name.endswith("to_out") else name, name]
        head, _, tail = name.rpartition("_to_")
        if "self_attn" in head:
            spellings.append(f"{head}_{_OLD_ATTENTION.get(f'to_{tail}', tail)}")
        return [*spellings, *_convert_from_sgm(name, self._layers_per_block)]


class ModuleIndex(ModuleNames[Module]):
    """Modules of a pipeline."""

    def __init__(self, pipe: DiffusionPipeline) -> None:
        modules = {}
        for component in (*_DENOISERS, *_TEXT_ENCODERS):
            part = getattr(pipe, component, None)
            if part is not None and hasattr(part, "named_modules"):
                modules[component] = dict(part.named_modules())
        layers = getattr(getattr(getattr(pipe, "unet", None), "config", None), "layers_per_block", 2)
        super().__init__(modules, layers if isinstance(layers, int) else 2)


def split_module(module: str) -> tuple[tuple[str, ...], str]:
    """Split a module's name in a file into the components that it may be in, and its name with underscores there."""
    name = module.removeprefix("base_model.model.").replace(".", "_")
    name = name.replace("_processor_to_", "_to_")
    components: tuple[str, ...] = (*_DENOISERS, *_TEXT_ENCODERS)
    for prefix, meant in _PREFIXES:
        if name.startswith(prefix):
            name, components = name.removeprefix(prefix), meant
            break
    return components, name.removeprefix("base_model_model_").removeprefix("text_model_")


def normalise_module(module: str) -> tuple[str, str]:
    """Return component and name of a module, equal for all its spellings. The component of a denoiser is empty."""
    components, name = split_module(module)
    name = f"{name}_0" if name.endswith("to_out") else name
    name = next(iter(_convert_from_sgm(name, 2)), name)
    return components[0] if components[0] in _TEXT_ENCODERS else "", name


def _convert_from_sgm(name: str, layers_per_block: int) -> list[str]:
    """Convert a name of the sgm UNet to that of diffusers; an empty list for any other name."""
    if name in _SGM_OTHERS:
        return [_SGM_OTHERS[name]]
    match = _SGM_BLOCK.fullmatch(name)
    if match is None:
        return []
    if match[5]:
        number, rest = int(match[6]), match[7]
        part = "attentions_0" if number == 1 else f"resnets_{number // 2}"
        return [f"mid_block_{part}_{_SGM_RESNET.get(rest, rest)}"]
    side, block, part_number, rest = match[1], int(match[2]), int(match[3]), match[4]
    per_block = layers_per_block + 1
    if side == "input_blocks":
        up_or_down, (index, layer) = "down", divmod(block - 1, per_block)
    else:
        up_or_down, (index, layer) = "up", divmod(block, per_block)
    stem = f"{up_or_down}_blocks_{index}"
    if rest == "op":
        return [f"{stem}_downsamplers_0_conv"]
    if rest == "conv":
        return [f"{stem}_upsamplers_0_conv"]
    part = "attentions" if part_number else "resnets"
    return [f"{stem}_{part}_{layer}_{rest if part_number else _SGM_RESNET.get(rest, rest)}"]
