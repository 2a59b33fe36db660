"""Parameters that the tools share, in the order of the form."""

from __future__ import annotations

from typing import Literal

from studio import api

from ..models.loader import STARTER
from ..modifiers import acceleration, controlnet, ip_adapter
from . import schedulers

LORAS_GROUP = "LoRAs and embeddings"
AspectRatio = Literal["model", "1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16"]


class PromptParams(api.Params):
    """The prompt and the negative prompt."""

    prompt: api.Prompt = ""
    """Describe what you want to see. (word:1.3) emphasises a word, [word] weakens it, and BREAK starts a new chunk."""
    negative_prompt: api.Prompt = ""
    """Describe what you do not want to see."""


class SizeParams(api.Params):
    """The size of an image that does not start from another one."""

    shape: AspectRatio = api.param(
        "model",
        title="Aspect ratio",
        labels=(
            "Model default",
            "Square",
            "Landscape 4:3",
            "Portrait 3:4",
            "Landscape 3:2",
            "Portrait 2:3",
            "Widescreen 16:9",
            "Vertical 9:16",
        ),
    )
    """The image has this shape and as many pixels as the model was trained for."""
    width: int | None = api.param(None, ge=16, le=8192, unit="px", advanced=True)
    """Replaces the width that follows from the aspect ratio."""
    height: int | None = api.param(None, ge=16, le=8192, unit="px", advanced=True)
    """Replaces the height that follows from the aspect ratio."""


class SamplingParams(PromptParams):
    """The prompts, the model, and how to sample from it."""

    model: api.ModelChoice = api.param(STARTER, model="diffusion")
    """A diffusers folder, a single-file checkpoint, or the name of a model on the Hugging Face hub."""
    steps: int | None = api.param(None, ge=1, le=1000)
    """Number of sampling steps. More steps take longer and add detail. Leave it empty for the model's default."""
    guidance: float | None = api.param(None, ge=0.0, le=50.0, step=0.5, title="Guidance scale")
    """A higher value follows the prompt more closely (CFG scale). Leave it empty for the model's default."""
    sampler: schedulers.Sampler = api.param("model", labels=schedulers.SAMPLER_LABELS)
    """The method that turns noise into an image."""
    schedule: schedulers.Schedule = api.param(
        "model", title="Noise schedule", labels=schedulers.SCHEDULE_LABELS, advanced=True
    )
    """Distribution of the steps over the noise levels. Karras and Exponential spend more of them on fine detail."""
    loras: list[api.ModelChoice] = api.param(
        [], model="lora", max_items=16, title="LoRAs", advanced=True, group=LORAS_GROUP
    )
    """Small files that change the model's style or subject. `<lora:name:0.8>` in the prompt does the same."""
    lora_weights: list[float] = api.param([], max_items=16, title="LoRA weights", advanced=True, group=LORAS_GROUP)
    """One for each LoRA, in the same order. A missing weight is 1."""
    embeddings: list[api.ModelChoice] = api.param(
        [], model="embedding", max_items=16, title="Embeddings", advanced=True, group=LORAS_GROUP
    )
    """Textual inversions. One whose file name is in neither prompt is added at the end of the prompt."""
    vae: api.ModelChoice | None = api.param(None, model="autoencoder", title="VAE", advanced=True)
    """Replaces the model's own autoencoder, which turns latents into pixels."""
    clip_skip: int = api.param(0, ge=0, le=11, title="Clip skip", advanced=True)
    """Number of layers at the end of the text encoder to skip, for models that were trained that way."""
    rescale: api.Unit = api.param(0.0, title="CFG rescale", advanced=True)
    """Reduces the oversaturated colours of a high guidance scale."""


class GenerationParams(
    acceleration.SpeedParams, ip_adapter.ReferenceParams, controlnet.ControlNetParams, SamplingParams
):
    """The prompts, the model, how to sample from it, and the images that guide it."""
