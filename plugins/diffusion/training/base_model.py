"""A model that can paint already, taken apart so that it can be taught."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import api

from ..checkpoints import diffusers_folder
from ..models import loader
from . import sdxl_parts, small_model

SD_PIPELINE, SDXL_PIPELINE = "StableDiffusionPipeline", "StableDiffusionXLPipeline"


@dataclass
class BaseModel:
    """Copies of a model's parts in float32, frozen. `title` is the model's, `place` its folder where it has one, and
    `side` that of its pictures in px. `lent` names the starter that its autoencoder comes from; empty where it has one
    of its own."""

    parts: small_model.Components
    vae: Any
    title: str
    place: Path
    side: int
    lent: str = ""


def copy_base_model(ctx: api.Context, choice: str, side: int, pipelines: Collection[str], otherwise: str) -> BaseModel:
    """For pictures of `side` px. Raises BadInput, beginning with `otherwise`, where it is none of `pipelines`."""
    import torch
    from diffusers import DDIMScheduler

    model = loader.load(ctx, choice)
    pipe = model.base
    if type(pipe).__name__ not in pipelines or not hasattr(pipe.scheduler, "alphas_cumprod"):
        raise api.BadInput(f"{otherwise}, and {model.title} is none of them.", "Choose another model.")
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False, timestep_spacing="trailing")

    def frozen(part: Any) -> Any:
        return copy.deepcopy(part).to(ctx.device, torch.float32).requires_grad_(False)

    parts = small_model.Components(pipe.tokenizer, frozen(pipe.text_encoder), frozen(pipe.unet), scheduler)
    if type(pipe).__name__ == SDXL_PIPELINE:
        parts = sdxl_parts.SdxlComponents(
            **vars(parts),
            tokenizer_2=pipe.tokenizer_2,
            text_encoder_2=frozen(pipe.text_encoder_2),
            side=side,
            empty_is_zero=pipe.config.force_zeros_for_empty_prompt,
        )
    found = ctx.model(choice)
    place = found if isinstance(found, Path) else Path()
    lent = (
        diffusers_folder.inspect_folder(place).borrowed.get("vae", "")
        if (place / diffusers_folder.INDEX).is_file()
        else ""
    )
    return BaseModel(parts, frozen(pipe.vae).eval(), model.title, place, model.size, lent)


def prepare_full_training(ctx: api.Context, choice: str, side: int) -> BaseModel:
    """To be taught as a whole: the UNet and what reads the words learn. Raises BadInput for other families than those
    of Stable Diffusion with one text encoder."""
    kinds = "Only Stable Diffusion 1 and 2 and models trained here are taught as a whole"
    base = copy_base_model(ctx, choice, side, (SD_PIPELINE,), kinds)
    for part in base.parts.networks.values():
        part.requires_grad_(True)
    return base
