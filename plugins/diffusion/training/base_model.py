"""The base model of a fine-tuning or a LoRA."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from studio import api

from ..checkpoints import diffusers_folder
from ..models import loader, placement
from ..models.loader import LoadedAutoencoder
from ..models.model import Model
from . import small_model
from .adapter import AdapterOptions
from .sdxl_components import SdxlComponents
from .trainable_model import TrainableModel

if TYPE_CHECKING:
    from torch import nn

N = TypeVar("N", bound="nn.Module")
SD_PIPELINE, SDXL_PIPELINE = "StableDiffusionPipeline", "StableDiffusionXLPipeline"


@dataclass
class BaseModel:
    """A frozen model that is trained, or gets an adapter. `side` is its own image size in pixels."""

    components: TrainableModel
    autoencoder: LoadedAutoencoder
    title: str
    side: int
    adapter: AdapterOptions | None = None
    """The form of the LoRA that is trained."""


def load(ctx: api.Context, choice: str) -> Model:
    """Load a model on the CPU, from where its components are moved to the job's device one after the other."""
    return loader.load(ctx if ctx.device == "cpu" else placement.HostContext(ctx), choice)


def copy_base_model(ctx: api.Context, choice: str, model: Model, side: int) -> BaseModel:
    """Copy the components of a model with a UNet in float32, for training on images of `side` px."""
    import torch
    from diffusers import DDIMScheduler

    pipe = model.base
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
    folder, starter = find_autoencoder(ctx, choice)
    autoencoder = LoadedAutoencoder(copy_frozen(pipe.vae).eval(), folder, starter)
    return BaseModel(components, autoencoder, model.title, model.size)


def has_noise_schedule(model: Model, pipelines: Collection[str]) -> bool:
    """Check that a model's pipeline is one of these classes, and that it learns to remove noise of a known schedule."""
    return type(model.base).__name__ in pipelines and hasattr(model.base.scheduler, "alphas_cumprod")


def prepare_full_training(ctx: api.Context, choice: str, side: int, *, text_encoder: bool = True) -> BaseModel:
    """Load a model whose UNet, and perhaps text encoder, is trained, for images of `side` px.

    Raises BadInput for models other than those of Stable Diffusion with one text encoder.
    """
    model = load(ctx, choice)
    if not has_noise_schedule(model, (SD_PIPELINE,)):
        raise api.BadInput(
            f"Fine-tuning supports Stable Diffusion 1 and 2 and models trained here, and {model.title} is none of "
            "these.",
            "Choose another model, or train a LoRA.",
        )
    base = copy_base_model(ctx, choice, model, side)
    for name, network in base.components.networks.items():
        network.requires_grad_(text_encoder or name == "unet")
    return base


def find_autoencoder(ctx: api.Context, choice: str) -> tuple[Path, str]:
    """Return the folder of a model's autoencoder, and the name of the starter if the model borrows it from one."""
    found = ctx.model(choice)
    folder = found if isinstance(found, Path) else Path()
    if (folder / diffusers_folder.INDEX).is_file():
        starter = diffusers_folder.inspect_folder(folder).borrowed.get("vae", "")
        if starter:
            return ctx.starter(starter), starter
    return folder / "vae", ""
