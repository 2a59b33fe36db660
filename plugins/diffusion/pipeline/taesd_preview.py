"""Previews by a tiny autoencoder, where one for the model's latents lies in the models folder.

Known by its name, which begins with ``tae`` as those of https://github.com/madebyollin/taesd do. A diffusers folder of
an AutoencoderTiny, a file with its weights, or the decoder alone in the layout that it was published in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints import diffusers_folder
from ..models.latents import LatentPreview, autoencoder_of, scale_factor_of, to_autoencoder_scale
from ..models.model import Model
from ..modifiers import vae_override

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_BROKEN = (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError, api.BadInput)


@dataclass
class TaesdPreview:
    """How latents look to a tiny autoencoder."""

    vae: Any
    frames_first: bool = False

    @property
    def channels(self) -> int:
        return int(self.vae.config.latent_channels)

    def to_image(self, latents: Tensor) -> NDArray[np.uint8]:
        """Latents [n, c, h, w] to a picture of the first."""
        import torch

        with torch.inference_mode():
            return api.images.to_uint8(self.vae.decode(to_autoencoder_scale(latents[:1], self.vae)).sample[0])


@dataclass
class _Found:
    view: TaesdPreview | None


def choose_preview(ctx: api.Context, model: Model, pipe: Any) -> LatentPreview | None:
    """How the model's latents are shown: by the tiny autoencoder that reads them best, else by the linear map."""
    coder = autoencoder_of(pipe)
    if type(coder).__name__ not in vae_override.INTERCHANGEABLE or model.preview is None:
        return model.preview
    channels = int(coder.config.latent_channels)
    tiny = sorted(path for path in ctx.available_models("autoencoder").values() if _is_tiny(path))
    if not tiny:
        return model.preview
    key = f"previews:{model.key}:{':'.join(f'{path}@{api.model_files.file_stamp(path)}' for path in tiny)}"
    found = ctx.models.load(key, lambda: _Found(_best(ctx, pipe, coder, channels, tiny)))
    return found.view or model.preview


def _is_tiny(path: Path) -> bool:
    name = path.name.lower()
    return name.startswith("tae") and "encoder" not in name and (path.is_dir() or path.suffix == ".safetensors")


def _best(ctx: api.Context, pipe: Any, coder: Any, channels: int, tiny: list[Path]) -> TaesdPreview | None:
    best: tuple[float, Any] | None = None
    for path in tiny:
        try:
            if _channels(path) != channels:
                continue
            vae = _opened(path, ctx).eval().requires_grad_(False).to(ctx.device, ctx.dtype)
            if 2 ** (len(vae.config.decoder_block_out_channels) - 1) != scale_factor_of(pipe):
                continue
            distance = vae_override.measure_decoding_error(ctx, coder, vae)
        except _BROKEN:
            ctx.emit(
                api.Notice(f"{path.name} is no tiny autoencoder that can be read, so it shows nothing.", "warning")
            )
            continue
        if distance is not None and (best is None or distance < best[0]):
            best = distance, vae
    return TaesdPreview(best[1]) if best else None


def _channels(path: Path) -> int:
    if path.is_dir():
        return int(diffusers_folder.read_json(path, "config.json")["latent_channels"])
    shapes = _by_layer(api.model_files.weight_shapes(path))
    return shapes["layers.0.weight"][1]


def _opened(path: Path, ctx: api.Context) -> Any:
    from diffusers import AutoencoderTiny
    from safetensors.torch import load_file
    from torch.nn import Identity

    if path.is_dir():
        return AutoencoderTiny.from_pretrained(
            str(path), use_safetensors=True, local_files_only=True, torch_dtype=ctx.dtype
        )
    weights = _by_layer(load_file(path))
    blocks, inside, last = [], 0, max(int(name.split(".")[1]) for name in weights)
    for layer in range(1, last + 1):
        if f"layers.{layer}.conv.0.weight" in weights:
            inside += 1
        elif f"layers.{layer}.weight" in weights:
            blocks.append(inside)
            inside = 0
    width, channels = weights["layers.0.weight"].shape[:2]
    vae = AutoencoderTiny(
        latent_channels=channels,
        decoder_block_out_channels=(width,) * len(blocks),
        num_decoder_blocks=tuple(blocks),
    )
    vae.decoder.load_state_dict(weights)
    vae.encoder = Identity()
    return vae


def _by_layer(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The decoder's, named as diffusers does. In the published layout it begins with a layer more, which clamps."""
    ours = {name.removeprefix("decoder."): value for name, value in tensors.items() if name.startswith("decoder.")}
    if ours:
        return ours
    numbered = {name.partition("."): value for name, value in tensors.items() if re.match(r"[1-9]\d*\.", name)}
    return {f"layers.{int(number) - 1}.{rest}": value for (number, _, rest), value in numbered.items()}
