"""What a picture will take, told from the model's files before anything is loaded.

Memory is that of the weights at the job's precision and of the larger of two moments: one pass of the denoiser, or
decoding. Both grow with the pixels; how much a pixel takes was measured on random models of full width on a CPU
(peak of resident memory, within about a third), and cuDNN or an attention that keeps its scores may need more.

Work is counted in megapixels of passes: steps, twice with guidance, and decoding as much as two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import api

from ..checkpoints import metadata
from ..checkpoints.metadata import ModelMetadata
from . import image_size, tiling, token_count

UNET_WIDTHS = 48
"""Numbers of the UNet's first width that a latent pixel takes: skip connections, and the wide middle of attention."""
TRANSFORMER_WIDTHS = 24
"""Numbers of a transformer's width that a token takes."""
CODER_WIDTHS = 10
"""Numbers of the decoder's last width that a pixel takes."""
DECODING = 2.0
"""Passes of the denoiser that decoding is reckoned as."""
_TEXT = 512
"""Tokens that stand beside those of the picture in a transformer."""
_PARTED = ("stable-diffusion", "stable-diffusion-xl")
_FASTER = ("skip", "attention", "compiled", "channels_last")
"""Parameters that change how long a pass takes."""


class EstimatingTool(api.Tool):
    """A tool that paints, and so can tell what it will take."""

    def estimate(self, params: Any, ctx: api.EstimateContext) -> api.Estimate | None:
        try:
            model = metadata.metadata_of(ctx, params.model)
            return None if model is None else _told(self.id, ctx, model, params)
        except (api.BadInput, OSError):  # half typed, half copied, or half gone
            return None


@dataclass(frozen=True)
class _Work:
    """`count` pictures of `size` (width, height) pixels, and a note on it beside a parameter."""

    size: tuple[int, int]
    count: int = 1
    beside: str = ""
    note: str = ""


def _told(tool: str, ctx: api.EstimateContext, model: ModelMetadata, params: Any) -> api.Estimate:
    notes = {name: note for name in ("prompt", "negative_prompt") if (note := _tokens(model, getattr(params, name)))}
    try:
        work = _work(model, params)
    except (api.BadInput, OSError):  # a size that cannot be painted, a picture that is gone
        return api.Estimate(notes=notes)
    if work.note:
        notes[work.beside] = work.note
    pixels = work.size[0] * work.size[1]
    passes = 2 if _guided(model, params) else 1
    controls = [path for choice in params.controls if isinstance(path := ctx.model(choice), Path)]
    width = ctx.dtype.itemsize
    weights = model.weight_count + sum(map(metadata.count_weights, controls))
    more = [str(getattr(params, name)) for name in _FASTER]
    return api.Estimate(
        memory=model.quantized_bytes
        + width * (weights + max(passes * _denoising(model, work.size), _decoding(model, pixels))),
        work=work.count * pixels / 1e6 * (_steps(model, params) * passes + DECODING),
        rate=" ".join([tool, model.pipeline, str(model.denoiser_weight_count), *more, str(len(controls))]),
        notes=notes,
    )


def _tokens(model: ModelMetadata, prompt: str) -> str:
    parted = model.defaults.family in _PARTED
    found = (
        token_count.load_counter(model.tokenizer_folders, model.defaults.max_tokens, parted=parted)
        if prompt.strip()
        else None
    )
    return found.note(prompt) if found else ""


def _guided(model: ModelMetadata, params: Any) -> bool:
    own = model.family.guidance if model.family.guidance is not None else model.defaults.guidance
    return bool(model.defaults.guidance) and (own if params.guidance is None else params.guidance) > 1


def _steps(model: ModelMetadata, params: Any) -> float:
    steps = params.steps or model.family.steps or model.defaults.steps
    share = getattr(params, "strength", 1.0) if model.defaults.has_strength else 1.0
    return max(1.0, steps * share)


def _work(model: ModelMetadata, params: Any) -> _Work:
    """By what the tool has parameters for."""
    if hasattr(params, "scale"):
        return _enlarged(model, params)
    if hasattr(params, "shape"):
        size = image_size.from_params(model, params)
        return _Work(size, 1, "shape", _by(size))
    if not hasattr(params, "image"):
        return _Work((model.size, model.size))
    if getattr(params, "area", "") == "part":
        return _Work((model.size, model.size))
    picture = _size_of(params.image)
    size = image_size.from_image(model, *picture)
    if getattr(params, "width", None) or getattr(params, "height", None):
        ratio = picture[0] / picture[1]
        wide = params.width or image_size.round_to_multiple(params.height * ratio, model.multiple)
        size = (wide, params.height or image_size.round_to_multiple(wide / ratio, model.multiple))
    return _Work(size, 1, "image", f"painted at {_by(size)}" if size != picture else "")


def _enlarged(model: ModelMetadata, params: Any) -> _Work:
    whole = tuple(max(1, round(side * params.scale)) for side in _size_of(params.image))
    step = model.multiple
    side = image_size.round_to_multiple(params.tile or model.size, step)
    rows = [tiling.plan_row(max(step, -(-full // step) * step), side, params.overlap, step) for full in whole]
    count = len(rows[0].starts) * len(rows[1].starts)
    said = f"{_by(whole)}, {count} tiles" if count > 1 else _by(whole)
    return _Work((rows[0].length, rows[1].length), count, "scale", said)


def _size_of(image: Path) -> tuple[int, int]:
    """As it is shown. Only the head of the file is read."""
    from PIL import Image

    with Image.open(image) as picture:
        turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        return (picture.height, picture.width) if turned else picture.size


def _by(size: tuple[int, ...]) -> str:
    return f"{size[0]} × {size[1]}"


def _denoising(model: ModelMetadata, size: tuple[int, int]) -> int:
    """Numbers that one pass holds at its fullest moment."""
    latent = math.prod(max(1, side // model.scale_factor) for side in size)
    if isinstance(blocks := model.denoiser_config.get("block_out_channels"), list) and blocks:
        return UNET_WIDTHS * latent * int(blocks[0])
    heads, head = (model.denoiser_config.get(name) or 0 for name in ("num_attention_heads", "attention_head_dim"))
    width = heads * head if isinstance(heads, int) and isinstance(head, int) else 0
    width = width or int(model.denoiser_config.get("dim") or model.denoiser_config.get("hidden_size") or 3072)
    return TRANSFORMER_WIDTHS * (latent // model.family.multiple**2 + _TEXT) * width


def _decoding(model: ModelMetadata, pixels: int) -> int:
    blocks = (
        model.autoencoder_config.get("block_out_channels")
        or model.autoencoder_config.get("decoder_block_out_channels")
        or [128]
    )
    return CODER_WIDTHS * pixels * int(blocks[0])
