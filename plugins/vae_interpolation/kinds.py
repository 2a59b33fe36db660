"""What differs between the spatial and the global kind, for the training loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import networks

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

    def save(self, model: Any, folder: Path, latent_std: float) -> None:
        import copy

        half = copy.deepcopy(model).cpu().half()
        half.register_to_config(scaling_factor=round(1 / latent_std, 5))
        half.save_pretrained(folder)


class Global:
    """A `GlobalVae`: one latent vector for a picture."""

    name = "global-autoencoder"

    def posterior(self, model: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = model.encode(images)
        return mean, logvar

    def decode(self, model: Any, latents: Tensor) -> Tensor:
        images: Tensor = model.decode(latents)
        return images

    def save(self, model: Any, folder: Path, latent_std: float) -> None:
        model.config = replace(model.config, scaling_factor=round(1 / latent_std, 5))
        networks.save_global(model, folder)
