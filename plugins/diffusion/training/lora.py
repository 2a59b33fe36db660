"""LoRA training (Hu et al. 2022, arXiv 2106.09685): small layers beside the attention of a frozen UNet."""

from __future__ import annotations

from pathlib import Path

from studio import api

from . import base_model
from .base_model import BaseModel
from .small_model import Components

TARGET_MODULES = ["to_q", "to_k", "to_v", "to_out.0"]
"""Names of the attention layers that get LoRA layers."""


def prepare_lora_training(ctx: api.Context, choice: str, rank: int, side: int) -> BaseModel:
    """Load a model, freeze it, and add LoRA layers for images of `side` px. Their weights follow from torch's seed.

    Raises BadInput for a model whose LoRAs cannot be trained here.
    """
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise api.StudioError("Training a LoRA needs the package peft.", "Install it with: pip install peft") from error

    requirement = "LoRA training supports Stable Diffusion 1, 2 and XL and models trained here"
    pipelines = (base_model.SD_PIPELINE, base_model.SDXL_PIPELINE)
    base = base_model.copy_base_model(ctx, choice, side, pipelines, requirement)
    config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=TARGET_MODULES)
    base.components.unet.add_adapter(config)
    return base


def save_lora(components: Components, folder: Path) -> int:
    """Write `pytorch_lora_weights.safetensors` in the format of diffusers. Returns the number of weights."""
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(components.unet))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return sum(value.numel() for value in layers.values())
