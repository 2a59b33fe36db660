"""The base model of a fine-tuning or a LoRA: copies of a loaded model's components."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from studio import api

from ..checkpoints import diffusers_folder
from ..models import loader
from ..models.loader import LoadedAutoencoder
from . import small_model
from .adapter import AdapterOptions
from .sdxl_components import SdxlComponents

if TYPE_CHECKING:
    from torch import nn

N = TypeVar("N", bound="nn.Module")
SD_PIPELINE, SDXL_PIPELINE = "StableDiffusionPipeline", "StableDiffusionXLPipeline"


@dataclass
class BaseModel:
    """Frozen copies of a model's components in float32. `side` is the model's own image size in pixels."""

    components: small_model.Components
    autoencoder: LoadedAutoencoder
    title: str
    side: int
    adapter: AdapterOptions | None = None
    """The form of the LoRA that is trained."""


def copy_base_model(
    ctx: api.Context, choice: str, side: int, pipelines: Collection[str], requirement: str
) -> BaseModel:
    """Load a model and copy its components for training on images of `side` px.

    Raises BadInput, beginning with the words `requirement`, if its pipeline class is not one of `pipelines`.
    """
    import torch
    from diffusers import DDIMScheduler

    model = loader.load(ctx, choice)
    pipe = model.base
    if type(pipe).__name__ not in pipelines or not hasattr(pipe.scheduler, "alphas_cumprod"):
        raise api.BadInput(f"{requirement}, and {model.title} is none of these.", "Choose another model.")
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False, timestep_spacing="trailing")

    def copy_frozen(network: N) -> N:
        return copy.deepcopy(network).to(ctx.device, torch.float32).requires_grad_(False)

    components = small_model.Components(
        pipe.tokenizer, copy_frozen(pipe.text_encoder), copy_frozen(pipe.unet), scheduler
    )
    if type(pipe).__name__ == SDXL_PIPELINE:
        components = SdxlComponents(
            **vars(components),
            tokenizer_2=pipe.tokenizer_2,
            text_encoder_2=copy_frozen(pipe.text_encoder_2),
            side=side,
            zero_empty_prompts=pipe.config.force_zeros_for_empty_prompt,
        )
    folder, starter = _find_autoencoder(ctx, choice)
    autoencoder = LoadedAutoencoder(copy_frozen(pipe.vae).eval(), folder, starter)
    return BaseModel(components, autoencoder, model.title, model.size)


def prepare_full_training(ctx: api.Context, choice: str, side: int, *, text_encoder: bool = True) -> BaseModel:
    """Load a model whose UNet, and perhaps text encoder, is trained, for images of `side` px.

    Raises BadInput for models other than those of Stable Diffusion with one text encoder.
    """
    requirement = "Fine-tuning supports Stable Diffusion 1 and 2 and models trained here"
    base = copy_base_model(ctx, choice, side, (SD_PIPELINE,), requirement)
    for name, network in base.components.networks.items():
        network.requires_grad_(text_encoder or name == "unet")
    return base


def _find_autoencoder(ctx: api.Context, choice: str) -> tuple[Path, str]:
    """Return the folder of a model's autoencoder, and the name of the starter if the model borrows it from one."""
    found = ctx.model(choice)
    folder = found if isinstance(found, Path) else Path()
    if (folder / diffusers_folder.INDEX).is_file():
        starter = diffusers_folder.inspect_folder(folder).borrowed.get("vae", "")
        if starter:
            return ctx.starter(starter), starter
    return folder / "vae", ""
