"""A LoRA (Hu et al. 2022): small layers beside a frozen UNet's attention, learnt from few pictures."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import api

from . import denoiser, loading, two_readers

FAMILIES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
BESIDE = ["to_q", "to_k", "to_v", "to_out.0"]
"""The layers of each attention that are learnt beside."""


@dataclass
class Base:
    """A model with a LoRA that has not learnt yet. `title` is the model's, `place` its folder where it has one, and
    `side` that of its pictures in px."""

    parts: denoiser.Parts
    vae: Any
    title: str
    place: Path
    side: int


def begin(ctx: api.Context, choice: str, rank: int, side: int) -> Base:
    """For pictures of `side` px: copies the model's UNet, freezes it and adds the layers, random by torch's seed.

    Raises BadInput for a family whose LoRAs are not learnt here.
    """
    import torch
    from diffusers import DDIMScheduler

    try:
        from peft import LoraConfig
    except ImportError as error:
        raise api.StudioError("LoRAs need the package peft.", "Install it with: pip install peft") from error

    model = loading.load(ctx, choice)
    pipe = model.base
    if type(pipe).__name__ not in FAMILIES or not hasattr(pipe.scheduler, "alphas_cumprod"):
        raise api.BadInput(
            "LoRAs are learnt for Stable Diffusion 1, 2 and XL and for models trained here, "
            f"and {model.title} is none of them.",
            "Choose another model.",
        )
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False, timestep_spacing="trailing")

    def copied(part: Any) -> Any:
        return copy.deepcopy(part).to(ctx.device, torch.float32).requires_grad_(False)

    unet = copied(pipe.unet)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=BESIDE))
    parts = denoiser.Parts(pipe.tokenizer, copied(pipe.text_encoder), unet, scheduler)
    if type(pipe).__name__ == "StableDiffusionXLPipeline":
        parts = two_readers.Parts(
            **vars(parts),
            tokenizer_2=pipe.tokenizer_2,
            text_encoder_2=copied(pipe.text_encoder_2),
            side=side,
            empty_is_zero=pipe.config.force_zeros_for_empty_prompt,
        )
    place = ctx.model(choice)
    return Base(parts, copied(pipe.vae).eval(), model.title, place if isinstance(place, Path) else Path(), model.size)


def save(parts: denoiser.Parts, folder: Path) -> int:
    """Writes `pytorch_lora_weights.safetensors` as diffusers reads it. Returns the number of weights."""
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(parts.unet))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return sum(value.numel() for value in layers.values())
