"""The sizes of a training, from its networks' shapes and the folder alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import msgspec

from studio import api

from ..checkpoints import metadata
from . import adapter, dataset, small_model
from .adapter import AdapterOptions
from .textual_inversion import InversionOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

FEW_IMAGES = 1000
"""Number of images below which a new model memorises them."""
_PIXELS_PER_LATENT, _LATENT_CHANNELS = 8, 4
_UNET_FAMILIES = ("stable-diffusion", "stable-diffusion-xl")


def measure_new_model(width: str, size: int) -> api.training.NetworkCost:
    """Return the cost of a new model for one image of `size` px."""
    return _measure_new_model(width, size // _PIXELS_PER_LATENT)


@cache
def _measure_new_model(width: str, side: int) -> api.training.NetworkCost:
    import torch

    network = small_model.NETWORK_SIZES[width]
    text = api.training.measure_network(
        lambda: small_model.build_text_encoder(
            network, small_model.VOCABULARY_SIZE, bos_token_id=0, eos_token_id=1, pad_token_id=1
        ),
        lambda encoder: _first(encoder(torch.zeros(1, small_model.MAX_TOKENS, dtype=torch.long))),
    )
    unet = api.training.measure_network(
        lambda: cast("nn.Module", small_model.build_unet(network, _LATENT_CHANNELS, side)),
        lambda unet: _first(
            unet(
                torch.zeros(1, _LATENT_CHANNELS, side, side),
                torch.zeros(1, dtype=torch.long),
                encoder_hidden_states=torch.zeros(1, small_model.MAX_TOKENS, network.text_width),
                return_dict=False,
            )
        ),
    )
    return api.training.NetworkCost(text.weights + unet.weights, text.activations + unet.activations)


def find_family(ctx: api.EstimateContext, choice: str) -> str:
    """Return the name of a model's family; empty where it is not known yet."""
    found = _find_metadata(ctx, choice)
    return found.family.name if found else ""


def _find_metadata(ctx: api.EstimateContext, choice: str) -> metadata.ModelMetadata | None:
    try:
        return metadata.metadata_of(ctx, choice)
    except (api.BadInput, OSError):
        return None


def measure_base_model(
    ctx: api.EstimateContext, choice: str, size: int, options: AdapterOptions | InversionOptions | None
) -> api.training.NetworkCost | None:
    """Return the cost of training a base model for one image, or an addition to it. Text encoders are not counted.

    Returns None for a model that is not on this computer, cannot be trained, or has no UNet.
    """
    found = _find_metadata(ctx, choice)
    if found is None or found.family.name not in _UNET_FAMILIES:
        return None
    config = msgspec.json.encode(found.denoiser_config).decode()
    unet = _measure_unet(config, size // found.scale_factor, options)
    others = found.weight_count - found.denoiser_weight_count
    return api.training.NetworkCost(unet.weights, unet.activations, unet.frozen + 4 * others)


@cache
def _measure_unet(
    config: str, side: int, options: AdapterOptions | InversionOptions | None
) -> api.training.NetworkCost:
    import torch
    from diffusers import UNet2DConditionModel

    values: dict[str, Any] = msgspec.json.decode(config)
    width = values["cross_attention_dim"]
    text_width = width[0] if isinstance(width, list) else width

    def build() -> nn.Module:
        unet: UNet2DConditionModel = UNet2DConditionModel.from_config(values)
        if isinstance(options, AdapterOptions):
            adapter.add_adapter(unet, options, adapter.UNET_LAYERS)
        elif options:
            unet.requires_grad_(False)
        return cast("nn.Module", unet)

    def run(unet: Any) -> Tensor:
        more = {}
        text = torch.zeros(1, 77, text_width, requires_grad=isinstance(options, InversionOptions))
        if values.get("addition_embed_type") == "text_time":
            times = 6 * values["addition_time_embed_dim"]
            pooled = values["projection_class_embeddings_input_dim"] - times
            more["added_cond_kwargs"] = {"text_embeds": torch.zeros(1, pooled), "time_ids": torch.zeros(1, 6)}
        return _first(
            unet(
                torch.zeros(1, values.get("in_channels", _LATENT_CHANNELS), side, side),
                torch.zeros(1, dtype=torch.long),
                encoder_hidden_states=text,
                return_dict=False,
                **more,
            )
        )

    cost = api.training.measure_network(build, run)
    if isinstance(options, InversionOptions):
        # The vectors for all text encoders together are as wide as the text that the UNet reads.
        return replace(cost, weights=options.vectors * text_width)
    return cost


def count_images(params: Any) -> int:
    """Return the number of images in the folders, at most those that a training uses."""
    folders = (params.folder, *params.more_folders)
    return min(dataset.MAX_IMAGES, sum(api.datasets.count_images(folder, dataset.MAX_IMAGES) for folder in folders))


def describe_data(kind: str, count: int) -> str:
    """Say what to expect of so many images."""
    if kind == "new" and count < FEW_IMAGES:
        return f"{count} images: a new model will memorise them, a LoRA works"
    return f"{count:,}{' or more' if count >= dataset.MAX_IMAGES else ''} images"


def _first(output: Any) -> Tensor:
    first: Tensor = output[0]
    return first
