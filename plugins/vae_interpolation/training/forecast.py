"""The sizes of an autoencoder's training, from its networks' shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from studio import api

from ..models import networks
from ..models.checkpoints import read_config
from .vae_kinds import GlobalKind, SpatialKind, VaeKind

if TYPE_CHECKING:
    from torch import Tensor, nn

FEW_IMAGES = 300
"""Number of images below which a new model memorises them."""


def read_base_config(choice: str, ctx: api.EstimateContext) -> str | None:
    """Return the config of a base model as JSON; None where it has none that can be read."""
    try:
        folder = ctx.model(choice)
        return msgspec.json.encode(read_config(folder)).decode() if isinstance(folder, Path) else None
    except (api.BadInput, OSError, ValueError, KeyError):
        return None


@cache
def measure_network(
    kind: str, channels: Sequence[int], crop: int, size: int, config: str | None = None
) -> api.training.NetworkCost:
    """Return the cost of a training for one image of `crop` px. `config` is that of a spatial base model."""
    import torch

    vae_kind: VaeKind[Any] = SpatialKind() if kind == "spatial" else GlobalKind()

    def build() -> nn.Module:
        if config and kind == "spatial":
            from diffusers import AutoencoderKL

            based: nn.Module = AutoencoderKL.from_config(msgspec.json.decode(config))
            return based
        if kind == "spatial":
            spatial: nn.Module = networks.build_spatial_vae(channels, size)
            return spatial
        return networks.build_global_vae(networks.GlobalConfig(size=size, channels=tuple(channels)))

    def run(network: nn.Module) -> Tensor:
        mean, _ = vae_kind.posterior(network, torch.zeros(1, 3, crop, crop))
        return vae_kind.decode(network, mean)

    return api.training.measure_network(build, run)


def describe_data(count: int) -> str:
    """Say what to expect of so many images."""
    if count < FEW_IMAGES:
        return f"{count} images: a new model will memorise them; {FEW_IMAGES} or more are better"
    return f"{count:,} images"
