"""The differences between the two kinds of autoencoder that the trainer needs to know."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..models import networks

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from torch import Tensor, nn

    from ..models.networks import GlobalVae

M = TypeVar("M", contravariant=True)


class VaeKind(Protocol[M]):
    """Encoding, decoding and saving of one kind of autoencoder."""

    name: str
    """The kind that `ModelChoice` fields ask for."""

    def posterior(self, model: M, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (mean, log-variance) of the latents of images in -1..1."""

    def decode(self, model: M, latents: Tensor) -> Tensor:
        """Return images [n, 3, h, w] in about -1..1."""

    def save(self, model: M, folder: Path, latents: Tensor) -> None:
        """Write config and float16 weights, with a `scaling_factor` that gives `latents` a deviation of 1."""


class SpatialKind:
    """An `AutoencoderKL`, whose latents are small pictures with four channels."""

    name = "autoencoder"

    def posterior(self, model: AutoencoderKL, images: Tensor) -> tuple[Tensor, Tensor]:
        latents = model.encode(images).latent_dist
        return latents.mean, latents.logvar

    def decode(self, model: AutoencoderKL, latents: Tensor) -> Tensor:
        images: Tensor = model.decode(latents).sample
        return images

    def save(self, model: AutoencoderKL, folder: Path, latents: Tensor) -> None:
        """Write config and float16 weights that standardise latents [n, c, h, w] by channel, if possible.

        The first and last layers in latent space are 1 × 1 convolutions, so the shift and scale of each
        channel can be moved into their weights without changing the pictures. A diffusion model that is
        trained on these latents then sees mean 0 and deviation 1. A network without these layers gets a
        `scaling_factor` for all channels.
        """
        half = copy.deepcopy(model).cpu().float()
        scaling_factor = 1 / max(1e-3, float(latents.std()))
        if half.quant_conv is not None and half.post_quant_conv is not None:
            _standardise(half.quant_conv, half.post_quant_conv, latents.cpu().float())
            scaling_factor = 1.0
        half.register_to_config(scaling_factor=round(scaling_factor, 5))
        half.half().save_pretrained(folder)


class GlobalKind:
    """A `GlobalVae`, with one latent vector for a picture."""

    name = "global-autoencoder"

    def posterior(self, model: GlobalVae, images: Tensor) -> tuple[Tensor, Tensor]:
        return model.encode(images)

    def decode(self, model: GlobalVae, latents: Tensor) -> Tensor:
        return model.decode(latents)

    def save(self, model: GlobalVae, folder: Path, latents: Tensor) -> None:
        model.config = replace(model.config, scaling_factor=round(1 / max(1e-3, float(latents.std())), 5))
        networks.save_global(model, folder)


def _standardise(encoder_end: nn.Conv2d, decoder_start: nn.Conv2d, latents: Tensor) -> None:
    """Move shift and scale of the latents' channels into two 1 × 1 convolutions.

    The encoder's end gives means and log-variances [2c], the decoder's start takes latents [c].
    """
    import torch

    shift, scale = latents.mean((0, 2, 3)), latents.std((0, 2, 3)).clamp(min=1e-3)
    count = len(shift)
    with torch.no_grad():
        assert encoder_end.bias is not None
        assert decoder_start.bias is not None
        decoder_start.bias += decoder_start.weight[:, :, 0, 0] @ shift
        decoder_start.weight *= scale[None, :, None, None]
        encoder_end.weight[:count] /= scale[:, None, None, None]
        encoder_end.bias[:count] = (encoder_end.bias[:count] - shift) / scale
        encoder_end.bias[count:] -= 2 * scale.log()
