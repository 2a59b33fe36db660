"""A LoRA (Hu et al. 2022): small layers beside a frozen UNet's attention, learnt from few pictures."""

from __future__ import annotations

from pathlib import Path

from studio import api

from . import base_model, small_model

BESIDE = ["to_q", "to_k", "to_v", "to_out.0"]
"""The layers of each attention that are learnt beside."""


def prepare_lora_training(ctx: api.Context, choice: str, rank: int, side: int) -> base_model.BaseModel:
    """For pictures of `side` px: copies the model, freezes it and adds the layers, random by torch's seed.

    Raises BadInput for a family whose LoRAs are not learnt here.
    """
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise api.StudioError("LoRAs need the package peft.", "Install it with: pip install peft") from error

    kinds = "LoRAs are learnt for Stable Diffusion 1, 2 and XL and for models trained here"
    base = base_model.copy_base_model(ctx, choice, side, (base_model.SD_PIPELINE, base_model.SDXL_PIPELINE), kinds)
    layers = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=BESIDE)
    base.parts.unet.add_adapter(layers)
    return base


def save_lora(parts: small_model.Components, folder: Path) -> int:
    """Writes `pytorch_lora_weights.safetensors` as diffusers reads it. Returns the number of weights."""
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(parts.unet))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return sum(value.numel() for value in layers.values())
