"""Previews by a tiny autoencoder (TAESD), if the models folder has one for the model's latents.

It is recognised by its name, which begins with ``tae`` as in https://github.com/madebyollin/taesd: a diffusers folder
of an AutoencoderTiny, or a file in any layout that `api.tiny_autoencoders` reads, also the decoder alone. It decodes
the latents that the denoiser sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

from ..checkpoints import diffusers_folder
from ..models.latents import (
    LatentPreview,
    apply_batch_norm,
    autoencoder_of,
    scale_factor_of,
    to_autoencoder_scale,
    to_denoiser_scale,
)
from ..models.model import Model
from ..modifiers import vae_override

if TYPE_CHECKING:
    import numpy as np
    from diffusers import AutoencoderTiny, DiffusionPipeline, ModelMixin
    from numpy.typing import NDArray
    from torch import Tensor, nn

_SUPPORTED = (*vae_override.INTERCHANGEABLE, "AutoencoderKLFlux2", "AutoencoderDC")
"""Classes of autoencoders whose latents a tiny autoencoder can decode."""
_SUFFIXES = (".safetensors", ".sft", ".pth", ".pt")
_UNREADABLE: tuple[type[Exception], ...] = (*api.model_files.UNREADABLE, api.BadInput)


@dataclass
class TaesdPreview:
    """Decodes latents with a tiny autoencoder."""

    vae: AutoencoderTiny
    frames_first: bool = False
    normalize: Callable[[Tensor], Tensor] | None = None
    """Converts unpacked latents to the scale of the denoiser, where they have that of the model's autoencoder."""

    @property
    def channels(self) -> int:
        return int(self.vae.config.latent_channels)

    def to_image(self, latents: Tensor) -> NDArray[np.uint8]:
        """Decode the first of latents [n, c, h, w] to an image of 8 bits."""
        import torch

        with torch.inference_mode():
            latents = self.normalize(latents) if self.normalize else latents
            image = self.vae.decode(to_autoencoder_scale(latents[:1], self.vae)).sample[0]
        return api.images.to_uint8(image)


@dataclass
class _CachedPreview:
    preview: TaesdPreview | None


def choose_preview(ctx: api.Context, model: Model, pipe: DiffusionPipeline) -> LatentPreview | None:
    """Return the preview of a model's latents: the tiny autoencoder that fits best, or else the model's linear map."""
    autoencoder = autoencoder_of(pipe)
    if type(autoencoder).__name__ not in _SUPPORTED or model.preview is None:
        return model.preview
    paths = sorted(path for path in ctx.available_models("autoencoder").values() if _is_tiny_autoencoder(path))
    if not paths:
        return model.preview
    key = f"previews:{model.key}:{':'.join(f'{path}@{api.model_files.file_stamp(path)}' for path in paths)}"
    cached = ctx.models.load(key, lambda: _CachedPreview(_load_best(ctx, pipe, autoencoder, paths)))
    return cached.preview or model.preview


def _is_tiny_autoencoder(path: Path) -> bool:
    name = path.name.lower()
    return name.startswith("tae") and "encoder" not in name and (path.is_dir() or path.suffix.lower() in _SUFFIXES)


def _load_best(
    ctx: api.Context, pipe: DiffusionPipeline, autoencoder: ModelMixin, paths: Sequence[Path]
) -> TaesdPreview | None:
    """Load the tiny autoencoder whose images are the nearest to those of the model's own autoencoder."""
    channels = int(autoencoder.config.latent_channels)
    best: tuple[float, AutoencoderTiny] | None = None
    for path in paths:
        try:
            if _read_channels(path) != channels:
                continue
            vae = _load(path, ctx).eval().requires_grad_(False).to(ctx.device, ctx.dtype)
            if 2 ** (len(vae.config.decoder_block_out_channels) - 1) != scale_factor_of(pipe):
                continue
            distance = vae_override.measure_decoding_error(ctx, autoencoder, vae, partial(_normalize, pipe))
        except _UNREADABLE:
            ctx.emit(
                api.Notice(f"{path.name} cannot be read as a tiny autoencoder, so previews do not use it.", "warning")
            )
            continue
        if distance is not None and (best is None or distance < best[0]):
            best = distance, vae
    if best is None:
        return None
    return TaesdPreview(best[1], normalize=partial(_normalize, pipe) if _batch_norm_of(pipe) else None)


def _read_channels(path: Path) -> int:
    if path.is_dir():
        return int(diffusers_folder.read_json(path, "config.json")["latent_channels"])
    return int(api.tiny_autoencoders.read(path)["decoder"]["0.weight"].shape[1])


def _load(path: Path, ctx: api.Context) -> AutoencoderTiny:
    from diffusers import AutoencoderTiny

    if path.is_dir():
        return AutoencoderTiny.from_pretrained(
            str(path), use_safetensors=True, local_files_only=True, torch_dtype=ctx.dtype
        )
    return api.tiny_autoencoders.load(path, decoder_only=True)


def _batch_norm_of(pipe: DiffusionPipeline) -> nn.BatchNorm2d | None:
    """Return the batch norm through which a denoiser sees patches of latents, as in FLUX.2."""
    norm = getattr(autoencoder_of(pipe), "bn", None)
    return norm if norm is not None and hasattr(pipe, "_patchify_latents") else None


def _normalize(pipe: DiffusionPipeline, latents: Tensor) -> Tensor:
    """Convert latents [n, c, h, w] from the autoencoder's scale to the denoiser's, which tiny autoencoders decode."""
    norm = _batch_norm_of(pipe)
    if norm is None:
        return to_denoiser_scale(latents, autoencoder_of(pipe))
    normalized: Tensor = pipe._unpatchify_latents(apply_batch_norm(pipe._patchify_latents(latents), norm))
    return normalized
