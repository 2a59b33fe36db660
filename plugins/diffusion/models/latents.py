"""Latents: conversions between the shapes and scales of denoisers and autoencoders, and previews by a linear map."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from studio import api

if TYPE_CHECKING:
    import numpy as np
    from diffusers import AutoencoderKL, DiffusionPipeline
    from numpy.typing import NDArray
    from torch import Tensor, nn

_LATENT_SIDE = 16
"""Latent pixels along a side of the image that the linear map is fitted to."""


class LatentPreview(Protocol):
    """A converter of latents to preview images. Latents of a video are [n, frames, c, h, w] with `frames_first`."""

    frames_first: bool

    @property
    def channels(self) -> int: ...

    def to_image(self, latents: Tensor) -> NDArray[np.uint8]:
        """Convert the first of latents [n, c, h, w] to an image [h, w, 3] of 8 bits."""


@dataclass
class LinearPreview:
    """A linear map from latents to colours: `weights` [c + 1, 3], the last row for the constant.

    Latents of a video are [n, c, frames, h, w], or, with `frames_first`, [n, frames, c, h, w].
    """

    weights: Tensor
    frames_first: bool = False

    @property
    def channels(self) -> int:
        return len(self.weights) - 1

    def to_image(self, latents: Tensor) -> NDArray[np.uint8]:
        """Convert the first of latents [n, c, h, w] to a small image [h, w, 3] of 8 bits."""
        pixels = latents[0].float().permute(1, 2, 0)
        weights = self.weights.to(pixels.device)
        return api.images.to_uint8((pixels @ weights[:-1] + weights[-1]).permute(2, 0, 1))


def autoencoder_of(pipe: DiffusionPipeline) -> Any:
    """Return the autoencoder of a pipeline, under any of its names; None where it has none."""
    return next((part for name in ("vae", "movq", "vqgan") if (part := getattr(pipe, name, None)) is not None), None)


def scale_factor_of(pipe: DiffusionPipeline) -> int:
    """Return the number of pixels along the side of a latent pixel. Pipelines have many names for it."""
    names = (
        "vae_scale_factor",
        "vae_scale_factor_spatial",
        "vae_spatial_scale_factor",
        "vae_spatial_compression_ratio",
    )
    return next((int(factor) for name in names if (factor := getattr(pipe, name, None))), 8)


def fit_linear_preview(pipe: DiffusionPipeline, *, frames_first: bool = False) -> LinearPreview | None:
    """Fit the linear map that is nearest to a pipeline's autoencoder, by least squares over two images.

    Returns None where the pipeline has no autoencoder with image-like latents.
    """
    import torch

    vae = autoencoder_of(pipe)
    if not hasattr(vae, "encode"):
        return None
    images = make_colour_chart(_LATENT_SIDE * scale_factor_of(pipe))
    with torch.inference_mode(), upcast_autoencoder(vae):
        latents = to_denoiser_scale(encode(images, vae), vae).float().cpu()
    height, width = latents.shape[-2:]
    target = torch.nn.functional.interpolate(images, (height, width), mode="area")
    rows = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
    # A little ridge keeps channels without any colour from being amplified.
    gram = rows.T @ rows + 1e-3 * len(rows) * torch.eye(rows.shape[1])
    return LinearPreview(torch.linalg.solve(gram, rows.T @ target.permute(0, 2, 3, 1).reshape(-1, 3)), frames_first)


def encode(images: Tensor, vae: AutoencoderKL) -> Tensor:
    """Encode images [n, 3, h, w] in -1..1 to latents [n, c, h, w] at the scale of the autoencoder, without sampling."""
    is_video = any(weight.ndim == 5 for weight in getattr(vae, "encoder", vae).parameters())
    encoded = vae.encode((images.unsqueeze(2) if is_video else images).to(vae.device, vae.dtype))
    latents: Tensor = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else deterministic_latents(encoded)
    return latents.squeeze(2) if is_video else latents


@contextmanager
def upcast_autoencoder(vae: AutoencoderKL) -> Iterator[None]:
    """Hold an autoencoder in float32 until the block ends, where it is known to overflow in float16."""
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


def unpack_latents(
    pipe: DiffusionPipeline, latents: Tensor, height: int, width: int, *, frames_first: bool = False
) -> Tensor | None:
    """Convert the latents in a pipeline's loop to [n, c, h, w]; None for an unknown shape.

    `height` and `width` are in pixels. Of a video, the frame in the middle is returned.
    """
    if latents.ndim == 3 and hasattr(pipe, "_unpatchify_latents"):
        count, _, channels = latents.shape
        patches = latents.transpose(1, 2).reshape(count, channels, height // pipe.vae_scale_factor // 2, -1)
        latents = pipe._unpatchify_latents(_undo_batch_norm(patches, pipe.vae.bn))
    elif latents.ndim == 3 and hasattr(pipe, "_unpack_latents"):
        arguments = inspect.signature(pipe._unpack_latents).parameters
        if "num_frames" in arguments:
            rows, columns = (side // scale_factor_of(pipe) for side in (height, width))
            latents = pipe._unpack_latents(latents, latents.shape[1] // (rows * columns), rows, columns)
        else:
            factor = {"vae_scale_factor": pipe.vae_scale_factor} if "vae_scale_factor" in arguments else {}
            latents = pipe._unpack_latents(latents, height, width, **factor)
    if latents.ndim == 5:
        axis = 1 if frames_first else 2
        latents = latents.select(axis, latents.shape[axis] // 2)
    return latents if latents.ndim == 4 else None


def deterministic_latents(encoded: Any) -> Tensor:
    """Return the latents in the output of an autoencoder that has no distribution of them."""
    latents: Tensor = encoded.latent if hasattr(encoded, "latent") else encoded.latents
    return latents


def to_denoiser_scale(latents: Tensor, vae: AutoencoderKL) -> Tensor:
    """Convert latents from the scale of the autoencoder to that of the denoiser."""
    import torch

    config, buffers = vae.config, dict(vae.named_buffers())
    if "num_vq_embeddings" in config:
        scaled: Tensor = latents / config.get("scale_factor", 1.0)
        return scaled
    scale = getattr(config, "scaling_factor", None) or 1.0
    mean, std = (config.get(name) or buffers.get(name) for name in ("latents_mean", "latents_std"))
    if mean is not None and std is not None:
        mean, std = (torch.as_tensor(values).to(latents) for values in (mean, std))
        return (latents - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1) * scale
    shift = getattr(config, "shift_factor", None) or 0.0
    return (latents - shift) * scale


def to_autoencoder_scale(latents: Tensor, vae: AutoencoderKL) -> Tensor:
    """Convert latents from the scale of the denoiser to that of an `AutoencoderKL` or `AutoencoderTiny`."""
    scaled: Tensor = latents / vae.config.scaling_factor + (vae.config.get("shift_factor") or 0.0)
    return scaled.to(vae.dtype)


def apply_batch_norm(patches: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Convert patches [n, c, h, w] from the scale of the autoencoder to that of the denoiser."""
    mean, deviation = _statistics_of(norm, patches)
    return (patches - mean) / deviation


def _undo_batch_norm(patches: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Convert patches [n, c, h, w] from the denoiser, which sees them through a batch norm, to the autoencoder's."""
    mean, deviation = _statistics_of(norm, patches)
    return patches * deviation + mean


def _statistics_of(norm: nn.BatchNorm2d, patches: Tensor) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = (values.view(1, -1, 1, 1).to(patches) for values in (norm.running_mean, norm.running_var))
    return mean, (variance + norm.eps).sqrt()


def make_colour_chart(side: int) -> Tensor:
    """Make two images [2, 3, side, side] in -1..1 with every hue, light and dark, in patches and in gradients."""
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
