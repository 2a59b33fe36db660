"""Estimate the memory and time of an image from the model's files, before anything is loaded.

The memory is that of the weights at the job's precision and of the larger of two moments: one pass of the denoiser, or
decoding. Both grow with the pixels. The numbers per pixel were measured on random models of full width on a CPU (peak
of resident memory, within about a third). cuDNN, or an attention that stores its scores, may need more.

Work is counted in megapixels of passes: one per step, two with guidance, and `DECODING_PASSES` for decoding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints import metadata
from ..checkpoints.metadata import ModelMetadata
from . import image_size, token_count
from .params import GenerationParams, SizeParams

if TYPE_CHECKING:
    from .image_size import SizedModel

UNET_NUMBERS = 48
"""Numbers in memory for each latent pixel, per channel of the UNet's first level: skip connections and attention."""
TRANSFORMER_NUMBERS = 24
"""Numbers in memory for each token, per channel of a transformer."""
DECODER_NUMBERS = 10
"""Numbers in memory for each pixel, per channel of the decoder's last level."""
DECODING_PASSES = 2.0
"""Passes of the denoiser that take as long as decoding."""
_TEXT_TOKENS = 512
"""Tokens of the prompt beside those of the image in a transformer."""
_CHUNKED_FAMILIES = ("stable-diffusion", "stable-diffusion-xl")
"""Families that read a long prompt in several chunks."""
_SPEED_PARAMS = ("skip", "attention", "compiled", "channels_last")
"""Parameters that change how long a pass takes."""


@dataclass(frozen=True)
class Work:
    """`count` images of `size` (width, height) in pixels."""

    size: tuple[int, int]
    count: int = 1
    strength: float = 1.0
    """Denoising strength: the fraction of the steps that is done, where the model has it."""
    note_param: str = ""
    """The parameter that `note` is shown beside."""
    note: str = ""


class EstimatingTool(api.Tool):
    """A tool that generates images and estimates what they take."""

    def plan_work(self, model: SizedModel, params: Any) -> Work:
        """Return the images that `run` would generate. Raises BadInput for a size that the model cannot generate."""
        raise NotImplementedError

    def estimate(self, params: GenerationParams, ctx: api.EstimateContext) -> api.Estimate | None:
        try:
            model = metadata.metadata_of(ctx, params.model)
            return None if model is None else self._estimate(model, params, ctx)
        except (api.BadInput, OSError):  # half typed, half copied, or half gone
            return None

    def _estimate(self, model: ModelMetadata, params: GenerationParams, ctx: api.EstimateContext) -> api.Estimate:
        prompts = {"prompt": params.prompt, "negative_prompt": params.negative_prompt}
        notes = {name: note for name, prompt in prompts.items() if (note := _describe_tokens(model, prompt))}
        try:
            work = self.plan_work(model, params)
        except (api.BadInput, OSError):  # a size that the model cannot generate, or an image that is gone
            return api.Estimate(notes=notes)
        if work.note:
            notes[work.note_param] = work.note
        pixels = work.size[0] * work.size[1]
        passes = 2 if _has_guidance(model, params) else 1
        controlnets = [path for choice in params.controls if isinstance(path := ctx.model(choice), Path)]
        weights = model.weight_count + sum(map(metadata.count_weights, controlnets))
        activations = max(passes * _count_denoiser_numbers(model, work.size), _count_decoder_numbers(model, pixels))
        rate = [self.id, model.pipeline, str(model.denoiser_weight_count)]
        rate += [str(getattr(params, name)) for name in _SPEED_PARAMS]
        return api.Estimate(
            memory=model.quantized_bytes + ctx.dtype.itemsize * (weights + activations),
            work=work.count * pixels / 1e6 * (_count_steps(model, params, work) * passes + DECODING_PASSES),
            rate=" ".join([*rate, str(len(controlnets))]),
            notes=notes,
        )


def plan_from_size(model: SizedModel, params: SizeParams) -> Work:
    """Return the work for one image of the size that the artist asks for."""
    size = image_size.from_params(model, params)
    return Work(size, note_param="shape", note=format_dimensions(size))


def plan_from_image(
    model: SizedModel, image: Path, strength: float, *, width: int | None = None, height: int | None = None
) -> Work:
    """Return the work for an image that starts from another one, at its size unless `width` or `height` are given."""
    original = read_size(image)
    size = image_size.from_image(model, *original)
    if width or height:
        ratio = original[0] / original[1]
        width = width or api.images.round_to_multiple((height or 0) * ratio, model.multiple)
        size = (width, height or api.images.round_to_multiple(width / ratio, model.multiple))
    note = f"generated at {format_dimensions(size)}" if size != original else ""
    return Work(size, strength=strength, note_param="image", note=note)


def read_size(image: Path) -> tuple[int, int]:
    """Read the width and height at which an image file is displayed. Only the head of the file is read."""
    with api.images.open_undecoded(image) as file:
        is_rotated = api.images.read_orientation(file) in (5, 6, 7, 8)
        return (file.height, file.width) if is_rotated else file.size


def format_dimensions(size: tuple[int, int]) -> str:
    """Return a size such as "512 × 768"."""
    return f"{size[0]} × {size[1]}"


def _describe_tokens(model: ModelMetadata, prompt: str) -> str:
    if not prompt.strip():
        return ""
    in_chunks = model.defaults.family in _CHUNKED_FAMILIES
    counter = token_count.load_counter(model.tokenizer_folders, model.defaults.max_tokens, in_chunks=in_chunks)
    return counter.describe(prompt) if counter else ""


def _has_guidance(model: ModelMetadata, params: GenerationParams) -> bool:
    default = model.family.guidance if model.family.guidance is not None else model.defaults.guidance
    guidance = default if params.guidance is None else params.guidance
    return bool(model.defaults.guidance) and guidance > 1


def _count_steps(model: ModelMetadata, params: GenerationParams, work: Work) -> float:
    steps = params.steps or model.family.steps or model.defaults.steps
    return max(1.0, steps * (work.strength if model.defaults.has_strength else 1.0))


def _count_denoiser_numbers(model: ModelMetadata, size: tuple[int, int]) -> int:
    """Return how many numbers one pass holds at its peak."""
    config = model.denoiser_config
    latent_pixels = math.prod(max(1, side // model.scale_factor) for side in size)
    if isinstance(blocks := config.get("block_out_channels"), list) and blocks:
        return UNET_NUMBERS * latent_pixels * int(blocks[0])
    heads, head = (config.get(name) or 0 for name in ("num_attention_heads", "attention_head_dim"))
    width = heads * head if isinstance(heads, int) and isinstance(head, int) else 0
    width = width or int(config.get("dim") or config.get("hidden_size") or 3072)
    return TRANSFORMER_NUMBERS * (latent_pixels // model.family.multiple**2 + _TEXT_TOKENS) * width


def _count_decoder_numbers(model: ModelMetadata, pixels: int) -> int:
    config = model.autoencoder_config
    blocks = config.get("block_out_channels") or config.get("decoder_block_out_channels") or [128]
    return DECODER_NUMBERS * pixels * int(blocks[0])
