"""How latents look, without the cost of decoding them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_CELLS = 16
"""Latent pixels along a side of the picture that the map is fitted to."""


class LatentPreview(Protocol):
    """How latents of so many channels are shown."""

    frames_first: bool

    @property
    def channels(self) -> int: ...

    def to_image(self, latents: Tensor) -> NDArray[np.uint8]:
        """Latents [n, c, h, w] to a picture [h, w, 3] of the first."""


@dataclass
class LinearPreview:
    """A linear map from latents to colours: `colours` [c + 1, 3], the last row for the constant.

    Latents of a video are [n, c, frames, h, w], or, with `frames_first`, [n, frames, c, h, w].
    """

    colours: Tensor
    frames_first: bool = False

    @property
    def channels(self) -> int:
        return len(self.colours) - 1

    def to_image(self, latents: Tensor) -> NDArray[np.uint8]:
        """Latents [n, c, h, w] to a small picture [h, w, 3] of the first."""
        import torch

        one = latents[0].float().permute(1, 2, 0)
        colours = self.colours.to(one.device)
        image = one @ colours[:-1] + colours[-1]
        return ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()


def autoencoder_of(pipe: Any) -> Any:
    """The autoencoder of a pipeline, under whichever name; None where it has none."""
    return next((part for name in ("vae", "movq", "vqgan") if (part := getattr(pipe, name, None)) is not None), None)


def scale_factor_of(pipe: Any) -> int:
    """How many pixels along a side are one of the latents'. Pipelines call it by many names."""
    names = (
        "vae_scale_factor",
        "vae_scale_factor_spatial",
        "vae_spatial_scale_factor",
        "vae_spatial_compression_ratio",
    )
    return next((int(found) for name in names if (found := getattr(pipe, name, None))), 8)


def fit_linear_preview(pipe: Any, *, frames_first: bool = False) -> LinearPreview | None:
    """The map that a pipeline's autoencoder comes closest to, by least squares over two pictures.

    None where the pipeline has none whose latents are small pictures.
    """
    import torch

    vae = autoencoder_of(pipe)
    if not hasattr(vae, "encode"):
        return None
    images = make_colour_chart(_CELLS * scale_factor_of(pipe))
    video = any(weight.ndim == 5 for weight in getattr(vae, "encoder", vae).parameters())
    with torch.inference_mode(), upcast_autoencoder(vae):
        encoded = vae.encode((images.unsqueeze(2) if video else images).to(vae.device, vae.dtype))
    found = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else _first(encoded)
    latents = to_denoiser_scale(found.squeeze(2) if video else found, vae).float().cpu()
    height, width = latents.shape[-2:]
    wanted = torch.nn.functional.interpolate(images, (height, width), mode="area")
    rows = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
    # A little ridge keeps channels that say nothing of colour from being blown up.
    gram = rows.T @ rows + 1e-3 * len(rows) * torch.eye(rows.shape[1])
    return LinearPreview(torch.linalg.solve(gram, rows.T @ wanted.permute(0, 2, 3, 1).reshape(-1, 3)), frames_first)


@contextmanager
def upcast_autoencoder(vae: Any) -> Iterator[None]:
    """At full precision where half of it is known to overflow."""
    import torch

    dtype = vae.dtype
    if dtype != torch.float16 or not vae.config.get("force_upcast"):
        yield
        return
    vae.to(torch.float32)
    try:
        yield
    finally:
        vae.to(dtype)


def unpack_latents(pipe: Any, latents: Tensor, height: int, width: int, *, frames_first: bool = False) -> Tensor | None:
    """Latents as [n, c, h, w], whatever shape the pipeline's loop gives them; None for an unknown one.

    Of a video the frame in the middle.
    """
    if latents.ndim == 3 and hasattr(pipe, "_unpatchify_latents"):
        patches = latents.transpose(1, 2).unflatten(2, (height // pipe.vae_scale_factor // 2, -1))
        latents = pipe._unpatchify_latents(_of_statistics(patches, pipe.vae.bn))
    elif latents.ndim == 3 and hasattr(pipe, "_unpack_latents"):
        asked = inspect.signature(pipe._unpack_latents).parameters
        if "num_frames" in asked:
            down, across = (side // scale_factor_of(pipe) for side in (height, width))
            latents = pipe._unpack_latents(latents, latents.shape[1] // (down * across), down, across)
        else:
            factor = {"vae_scale_factor": pipe.vae_scale_factor} if "vae_scale_factor" in asked else {}
            latents = pipe._unpack_latents(latents, height, width, **factor)
    if latents.ndim == 5:
        axis = 1 if frames_first else 2
        latents = latents.select(axis, latents.shape[axis] // 2)
    return latents if latents.ndim == 4 else None


def _first(encoded: Any) -> Tensor:
    latents: Tensor = encoded.latent if hasattr(encoded, "latent") else encoded.latents
    return latents


def to_denoiser_scale(latents: Tensor, vae: Any) -> Tensor:
    """In the scale that the denoiser works in."""
    import torch

    config, inside = vae.config, dict(vae.named_buffers())
    if "num_vq_embeddings" in config:
        return latents / config.get("scale_factor", 1.0)
    mean, std = (config.get(name) or inside.get(name) for name in ("latents_mean", "latents_std"))
    if mean is not None and std is not None:
        mean, std = (torch.as_tensor(values).to(latents) for values in (mean, std))
        return (latents - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
    shift = getattr(config, "shift_factor", None) or 0.0
    scale = getattr(config, "scaling_factor", None) or 1.0
    return (latents - shift) * scale


def _of_statistics(patches: Tensor, norm: Any) -> Tensor:
    """Patches [n, c, h, w] as the autoencoder has them, which the denoiser sees through a batch norm."""
    mean, variance = (one.view(1, -1, 1, 1).to(patches) for one in (norm.running_mean, norm.running_var))
    return patches * (variance + norm.eps).sqrt() + mean


def make_colour_chart(side: int) -> Tensor:
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
