"""How latents look, without the cost of decoding them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_CELLS = 16
"""Latent pixels along a side of the picture that the map is fitted to."""


@dataclass
class View:
    """A linear map from latents to colours: `colours` [c + 1, 3], the last row for the constant."""

    colours: Tensor

    def picture(self, latents: Tensor) -> NDArray[np.uint8]:
        """Latents [n, c, h, w] to a small picture [h, w, 3] of the first."""
        import torch

        one = latents[0].float().permute(1, 2, 0)
        colours = self.colours.to(one.device)
        image = one @ colours[:-1] + colours[-1]
        return ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()


def fitted(pipe: Any) -> View | None:
    """The map that a pipeline's autoencoder comes closest to, by least squares over two pictures.

    None where the pipeline has none whose latents are small pictures.
    """
    import torch

    vae = getattr(pipe, "vae", None)
    if vae is None or not hasattr(vae, "encode"):
        return None
    factor = int(getattr(pipe, "vae_scale_factor", 8) or 8)
    images = _colourful(_CELLS * factor).to(vae.device, vae.dtype)
    video = getattr(getattr(vae, "post_quant_conv", None), "weight", torch.empty(0)).ndim == 5 or hasattr(
        vae.config, "temperal_downsample"
    )
    with torch.inference_mode():
        encoded = vae.encode(images.unsqueeze(2) if video else images)
    found = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else _first(encoded)
    latents = _as_denoised(found.squeeze(2) if video else found, vae.config).float().cpu()
    height, width = latents.shape[-2:]
    wanted = torch.nn.functional.interpolate(images.float().cpu(), (height, width), mode="area")
    rows = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
    # A little ridge keeps channels that say nothing of colour from being blown up.
    gram = rows.T @ rows + 1e-3 * len(rows) * torch.eye(rows.shape[1])
    return View(torch.linalg.solve(gram, rows.T @ wanted.permute(0, 2, 3, 1).reshape(-1, 3)))


def unpacked(pipe: Any, latents: Tensor, height: int, width: int) -> Tensor | None:
    """Latents as [n, c, h, w], whatever shape the pipeline's loop gives them; None for an unknown one."""
    if latents.ndim == 3 and hasattr(pipe, "_unpatchify_latents"):
        patches = latents.transpose(1, 2).unflatten(2, (height // pipe.vae_scale_factor // 2, -1))
        latents = pipe._unpatchify_latents(_of_statistics(patches, pipe.vae.bn))
    elif latents.ndim == 3 and hasattr(pipe, "_unpack_latents"):
        latents = pipe._unpack_latents(latents, height, width, pipe.vae_scale_factor)
    if latents.ndim == 5:
        latents = latents[:, :, 0]
    return latents if latents.ndim == 4 else None


def _first(encoded: Any) -> Tensor:
    latents: Tensor = encoded.latent if hasattr(encoded, "latent") else encoded.latents
    return latents


def _as_denoised(latents: Tensor, config: Any) -> Tensor:
    """In the scale that the denoiser works in."""
    import torch

    if getattr(config, "latents_mean", None) is not None and getattr(config, "latents_std", None) is not None:
        mean, std = (torch.tensor(values).to(latents) for values in (config.latents_mean, config.latents_std))
        return (latents - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
    shift = getattr(config, "shift_factor", None) or 0.0
    scale = getattr(config, "scaling_factor", None) or 1.0
    return (latents - shift) * scale


def _of_statistics(patches: Tensor, norm: Any) -> Tensor:
    """Patches [n, c, h, w] as the autoencoder has them, which the denoiser sees through a batch norm."""
    mean, variance = (one.view(1, -1, 1, 1).to(patches) for one in (norm.running_mean, norm.running_var))
    return patches * (variance + norm.eps).sqrt() + mean


def _colourful(side: int) -> Tensor:
    """Two pictures [2, 3, side, side] in -1..1 with every hue, light and dark, in patches and in gradients."""
    import torch

    random = torch.Generator().manual_seed(0)
    patches = torch.rand(1, 3, 8, 8, generator=random) * 2 - 1
    gradients = torch.rand(1, 3, 3, 3, generator=random) * 2 - 1
    return torch.cat(
        [
            torch.nn.functional.interpolate(patches, (side, side), mode="nearest"),
            torch.nn.functional.interpolate(gradients, (side, side), mode="bicubic").clamp(-1, 1),
        ]
    )
