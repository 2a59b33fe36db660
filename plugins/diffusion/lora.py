"""A LoRA (Hu et al. 2022): small layers beside a frozen UNet's attention, learnt from few pictures."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import api

from . import denoiser, loading

BESIDE = ["to_q", "to_k", "to_v", "to_out.0"]
"""The layers of each attention that are learnt beside."""


@dataclass
class Base:
    """A model with a LoRA that has not learnt yet. `title` is the model's, `place` its folder where it has one."""

    parts: denoiser.Parts
    vae: Any
    title: str
    place: Path


def begin(ctx: api.Context, choice: str, rank: int) -> Base:
    """Copies the model's UNet, freezes it and adds the layers, random by torch's seed.

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
    if type(pipe).__name__ != "StableDiffusionPipeline":
        raise api.BadInput(
            f"LoRAs are learnt for Stable Diffusion 1 and 2 and for models trained here, and {model.title} is neither.",
            "Choose another model.",
        )
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False, timestep_spacing="trailing")
    text = copy.deepcopy(pipe.text_encoder).to(ctx.device, torch.float32).requires_grad_(False)
    unet = copy.deepcopy(pipe.unet).to(ctx.device, torch.float32).requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=BESIDE))
    parts = denoiser.Parts(pipe.tokenizer, text, unet, scheduler)
    vae = copy.deepcopy(pipe.vae).to(ctx.device, torch.float32).eval().requires_grad_(False)
    place = ctx.model(choice)
    return Base(parts, vae, model.title, place if isinstance(place, Path) else Path())


def save(parts: denoiser.Parts, folder: Path) -> int:
    """Writes `pytorch_lora_weights.safetensors` as diffusers reads it. Returns the number of weights."""
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(parts.unet))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return sum(value.numel() for value in layers.values())
