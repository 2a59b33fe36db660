"""What differs between the spatial and the global kind, for the training loop."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models import networks

if TYPE_CHECKING:
    from torch import Tensor


class Spatial:
    """An `AutoencoderKL`: latents are pictures of 1/8 of the size and four channels."""

    name = "autoencoder"

    def posterior(self, model: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        latents = model.encode(images).latent_dist
        return latents.mean, latents.logvar

    def decode(self, model: Any, latents: Tensor) -> Tensor:
        images: Tensor = model.decode(latents).sample
        return images

    def save(self, model: Any, folder: Path, latents: Tensor) -> None:
        """Latents [n, c, h, w] are standardised by channel where the network can hold that, else as a whole.

        Its first and last layers in latent space are 1 × 1 convolutions, so shift and scale
        of each channel go into their weights, and the pictures stay the same. What learns to
        make latents then finds them with mean 0 and deviation 1.
        """
        half = copy.deepcopy(model).cpu().float()
        scaling_factor = 1 / max(1e-3, float(latents.std()))
        if half.quant_conv is not None and half.post_quant_conv is not None:
            _standardise(half.quant_conv, half.post_quant_conv, latents.cpu().float())
            scaling_factor = 1.0
        half.register_to_config(scaling_factor=round(scaling_factor, 5))
        half.half().save_pretrained(folder)


class Global:
    """A `GlobalVae`: one latent vector for a picture."""

    name = "global-autoencoder"

    def posterior(self, model: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = model.encode(images)
        return mean, logvar

    def decode(self, model: Any, latents: Tensor) -> Tensor:
        images: Tensor = model.decode(latents)
        return images

    def save(self, model: Any, folder: Path, latents: Tensor) -> None:
        model.config = replace(model.config, scaling_factor=round(1 / max(1e-3, float(latents.std())), 5))
        networks.save_global(model, folder)


def _standardise(enter: Any, leave: Any, latents: Tensor) -> None:
    """`enter` gives means and log-variances [2c], `leave` takes latents [c]; both are 1 × 1 convolutions."""
    import torch

    shift, scale = latents.mean((0, 2, 3)), latents.std((0, 2, 3)).clamp(min=1e-3)
    count = len(shift)
    with torch.no_grad():
        leave.bias += leave.weight[:, :, 0, 0] @ shift
        leave.weight *= scale[None, :, None, None]
        enter.weight[:count] /= scale[:, None, None, None]
        enter.bias[:count] = (enter.bias[:count] - shift) / scale
        enter.bias[count:] -= 2 * scale.log()
