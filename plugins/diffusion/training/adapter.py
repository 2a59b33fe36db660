"""Adapters beside the layers of a frozen model: LoRA, DoRA, LoHa and LoKr, by peft."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from studio import api

if TYPE_CHECKING:
    from peft import PeftConfig
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch import Tensor, nn

    from .trainable_model import TrainableModel

AdapterType = Literal["lora", "dora", "loha", "lokr"]
Layers = Literal["attention", "blocks", "convolutions"]
ADAPTER_LABELS = ("LoRA", "DoRA", "LoHa", "LoKr")
NAME = "default"
"""The name of the adapter in peft."""
UNET_LAYERS: Mapping[Layers, tuple[str, ...]] = {
    "attention": ("to_q", "to_k", "to_v", "to_out.0"),
    "blocks": ("proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    "convolutions": ("conv1", "conv2", "conv_shortcut", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv"),
}
"""Names of the layers that each choice adds to those before it."""
_KERNELS = r"conv1|conv2|downsamplers\.0\.conv|upsamplers\.0\.conv"
"""Names of the convolutions over several pixels among them, which may have a rank of their own."""
TEXT_LAYERS: Mapping[Layers, tuple[str, ...]] = {
    "attention": ("q_proj", "k_proj", "v_proj", "out_proj"),
    "blocks": ("fc1", "fc2"),
    "convolutions": (),
}
_PARAMETERS = (
    *("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
    *("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
)
"""Parameters of LoHa and LoKr, which have the same names in files."""


@dataclass(frozen=True)
class AdapterOptions:
    """The artist's choices for an adapter."""

    type: AdapterType = "lora"
    rank: int = 8
    alpha: float | None = None
    """The adapter's effect is scaled by alpha / rank. None for the rank."""
    dropout: float = 0.0
    layers: Layers = "attention"
    conv_rank: int | None = None
    """Rank of convolutions over several pixels. None for `rank`."""
    conv_alpha: float | None = None
    """Alpha of these convolutions. None for the same fraction of their rank."""
    text_encoder: bool = False
    """Whether the text encoders get adapters as well."""

    @property
    def scale_alpha(self) -> float:
        return self.rank if self.alpha is None else self.alpha

    @property
    def scale_conv_rank(self) -> int:
        return self.rank if self.conv_rank is None else self.conv_rank

    @property
    def scale_conv_alpha(self) -> float:
        if self.conv_alpha is not None:
            return self.conv_alpha
        return self.scale_alpha if self.conv_rank is None else self.scale_alpha * self.conv_rank / self.rank


def add_adapters(model: TrainableModel, options: AdapterOptions) -> None:
    """Freeze the networks and add adapters that have no effect yet. Their weights follow from torch's seed.

    Raises StudioError if peft is not installed.
    """
    for network in model.networks.values():
        network.requires_grad_(False)
        if network is model.denoiser:
            add_adapter(network, options, model.layer_names)
        elif options.text_encoder:
            add_adapter(network, options, TEXT_LAYERS)


def add_adapter(network: nn.Module, options: AdapterOptions, names: Mapping[Layers, tuple[str, ...]]) -> None:
    """Freeze a network and add an adapter to the layers that are chosen. Raises StudioError without peft."""
    try:
        from peft import inject_adapter_in_model
    except ImportError as error:
        raise api.StudioError("Training a LoRA needs the package peft.", "Install it with: pip install peft") from error

    network.requires_grad_(False)
    inject_adapter_in_model(_build_config(options, names), network, NAME)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _build_config(options: AdapterOptions, names: Mapping[Layers, tuple[str, ...]]) -> PeftConfig:
    from peft import LoHaConfig, LoKrConfig, LoraConfig

    order = list(names)
    chosen = [*order[: order.index(options.layers) + 1]] if options.layers in order else order
    suffixes = "|".join(re.escape(name) for layers in chosen for name in names[layers])
    # Layers outside of the numbered blocks may have the same names.
    targets = rf".+\.\d+\.(.+\.)?({suffixes})"
    alpha: Any = options.scale_alpha
    shared: dict[str, Any] = {"r": options.rank, "target_modules": targets}
    if "convolutions" in chosen and names["convolutions"]:
        shared["rank_pattern"] = {_KERNELS: options.scale_conv_rank}
        shared["alpha_pattern"] = {_KERNELS: options.scale_conv_alpha}
    if options.type in ("lora", "dora"):
        return LoraConfig(
            **shared,
            lora_alpha=alpha,
            lora_dropout=options.dropout,
            init_lora_weights="gaussian",
            use_dora=options.type == "dora",
        )
    kind: Any = LoHaConfig if options.type == "loha" else LoKrConfig
    config: PeftConfig = kind(**shared, alpha=alpha, rank_dropout=options.dropout)
    return config


def find_layers(network: nn.Module) -> dict[str, BaseTunerLayer]:
    """Return the layers with an adapter by their names in the network."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return {name: layer for name, layer in network.named_modules() if isinstance(layer, BaseTunerLayer)}


def read_parameters(layer: BaseTunerLayer) -> dict[str, Tensor]:
    """Return the parameters of a layer's adapter by role: `down`, `up`, `magnitude`, or those of LoHa and LoKr."""
    parts: Any = layer
    if "lora_A" in parts._modules:
        tensors = {"down": parts.lora_A[NAME].weight, "up": parts.lora_B[NAME].weight}
        if NAME in parts.lora_magnitude_vector:
            tensors["magnitude"] = parts.lora_magnitude_vector[NAME].weight
        return tensors
    return {name: getattr(parts, name)[NAME] for name in _PARAMETERS if NAME in getattr(parts, name, {})}


def read_scale(layer: BaseTunerLayer) -> tuple[int, float]:
    """Return the rank and the alpha of a layer's adapter."""
    parts: Any = layer
    alphas = parts.lora_alpha if "lora_A" in parts._modules else parts.alpha
    return parts.r[NAME], float(alphas[NAME])


def describe_tensors(options: AdapterOptions, tensors: dict[str, Tensor]) -> AdapterOptions:
    """Return the options with the type and the rank of an adapter's tensors by role."""
    if "down" in tensors:
        return replace(options, type="dora" if "magnitude" in tensors else "lora", rank=tensors["down"].shape[0])
    if "hada_w1_b" in tensors:
        return replace(options, type="loha", rank=tensors["hada_w1_b"].shape[0])
    rank = next((tensors[name].shape[0] for name in ("lokr_w2_b", "lokr_w1_b") if name in tensors), 0)
    whole_rank = int(tensors["alpha"]) if "alpha" in tensors else options.rank
    return replace(options, type="lokr", rank=max(1, rank or whole_rank))
