"""Previews by a tiny autoencoder (TAESD), if the models folder has one for the model's latents.

It is recognised by its name, which begins with ``tae`` as in https://github.com/madebyollin/taesd: a diffusers folder
of an AutoencoderTiny, a file with its weights, or the decoder alone in the layout in which it was published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from studio import api

from ..checkpoints import diffusers_folder
from ..models.latents import LatentPreview, autoencoder_of, scale_factor_of, to_autoencoder_scale
from ..models.model import Model
from ..modifiers import vae_override

if TYPE_CHECKING:
    import numpy as np
    from diffusers import AutoencoderTiny, DiffusionPipeline, ModelMixin
    from numpy.typing import NDArray
    from torch import Tensor

V = TypeVar("V")
_UNREADABLE: tuple[type[Exception], ...] = (*api.model_files.UNREADABLE, api.BadInput)


@dataclass
class TaesdPreview:
    """Decodes latents with a tiny autoencoder."""

    vae: AutoencoderTiny
    frames_first: bool = False

    @property
    def channels(self) -> int:
        return int(self.vae.config.latent_channels)

    def to_image(self, latents: Tensor) -> NDArray[np.uint8]:
        """Decode the first of latents [n, c, h, w] to an image of 8 bits."""
        import torch

        with torch.inference_mode():
            image = self.vae.decode(to_autoencoder_scale(latents[:1], self.vae)).sample[0]
        return api.images.to_uint8(image)


@dataclass
class _CachedPreview:
    preview: TaesdPreview | None


def choose_preview(ctx: api.Context, model: Model, pipe: DiffusionPipeline) -> LatentPreview | None:
    """Return the preview of a model's latents: the tiny autoencoder that fits best, or else the model's linear map."""
    autoencoder = autoencoder_of(pipe)
    if type(autoencoder).__name__ not in vae_override.INTERCHANGEABLE or model.preview is None:
        return model.preview
    paths = sorted(path for path in ctx.available_models("autoencoder").values() if _is_tiny_autoencoder(path))
    if not paths:
        return model.preview
    key = f"previews:{model.key}:{':'.join(f'{path}@{api.model_files.file_stamp(path)}' for path in paths)}"
    cached = ctx.models.load(key, lambda: _CachedPreview(_load_best(ctx, pipe, autoencoder, paths)))
    return cached.preview or model.preview


def _is_tiny_autoencoder(path: Path) -> bool:
    name = path.name.lower()
    return name.startswith("tae") and "encoder" not in name and (path.is_dir() or path.suffix == ".safetensors")


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
            distance = vae_override.measure_decoding_error(ctx, autoencoder, vae)
        except _UNREADABLE:
            ctx.emit(
                api.Notice(f"{path.name} cannot be read as a tiny autoencoder, so previews do not use it.", "warning")
            )
            continue
        if distance is not None and (best is None or distance < best[0]):
            best = distance, vae
    return TaesdPreview(best[1]) if best else None


def _read_channels(path: Path) -> int:
    if path.is_dir():
        return int(diffusers_folder.read_json(path, "config.json")["latent_channels"])
    shapes = _rename_decoder_layers(api.model_files.read_weight_shapes(path))
    return shapes["layers.0.weight"][1]


def _load(path: Path, ctx: api.Context) -> AutoencoderTiny:
    from diffusers import AutoencoderTiny
    from safetensors.torch import load_file
    from torch.nn import Identity

    if path.is_dir():
        return AutoencoderTiny.from_pretrained(
            str(path), use_safetensors=True, local_files_only=True, torch_dtype=ctx.dtype
        )
    weights = _rename_decoder_layers(load_file(path))
    stages, blocks, last = [], 0, max(int(name.split(".")[1]) for name in weights)
    for layer in range(1, last + 1):
        if f"layers.{layer}.conv.0.weight" in weights:
            blocks += 1
        elif f"layers.{layer}.weight" in weights:
            stages.append(blocks)
            blocks = 0
    width, channels = weights["layers.0.weight"].shape[:2]
    vae = AutoencoderTiny(
        latent_channels=channels,
        decoder_block_out_channels=(width,) * len(stages),
        num_decoder_blocks=tuple(stages),
    )
    vae.decoder.load_state_dict(weights)
    vae.encoder = Identity()
    return vae


def _rename_decoder_layers(tensors: Mapping[str, V]) -> dict[str, V]:
    """Return the decoder's tensors under the names of diffusers.

    In the published layout the layers are numbered from 1, after one that clamps its input and has no weights.
    """
    decoder = {name.removeprefix("decoder."): value for name, value in tensors.items() if name.startswith("decoder.")}
    if decoder:
        return decoder
    numbered = {name.partition("."): value for name, value in tensors.items() if re.match(r"[1-9]\d*\.", name)}
    return {f"layers.{int(number) - 1}.{rest}": value for (number, _, rest), value in numbered.items()}
