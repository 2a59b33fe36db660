"""The parameters that the tools share, in the order of the form."""

from __future__ import annotations

from typing import Literal

from studio import api

from ..models.loader import STARTER
from ..modifiers import acceleration, controlnet, ip_adapter
from . import schedulers

ADDED = "LoRAs and words"
AspectRatio = Literal["model", "1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16"]


class PromptParams(api.Params):
    """What should be seen, and what not."""

    prompt: api.Prompt = ""
    """What the picture shows. (word:1.3) weighs a word, [word] lessens it, BREAK begins a new thought."""
    negative_prompt: api.Prompt = ""
    """What it should not show."""


class SizeParams(api.Params):
    """How large a picture is."""

    shape: AspectRatio = api.param(
        "model",
        labels=(
            "As the model likes",
            "Square",
            "Landscape 4:3",
            "Portrait 3:4",
            "Landscape 3:2",
            "Portrait 2:3",
            "Wide 16:9",
            "Tall 9:16",
        ),
    )
    """The shape, with as many pixels as the model was made for."""
    width: int | None = api.param(None, ge=16, le=8192, unit="px", advanced=True)
    """Instead of what follows from the shape."""
    height: int | None = api.param(None, ge=16, le=8192, unit="px", advanced=True)
    """Instead of what follows from the shape."""


class SamplingParams(api.Params):
    """With what, and how."""

    model: api.ModelChoice = api.param(STARTER, model="diffusion")
    """A diffusers folder, a single file, or a name on the Hugging Face hub."""
    steps: int | None = api.param(None, ge=1, le=1000)
    """More are slower and finer. Empty: what suits the model."""
    guidance: float | None = api.param(None, ge=0.0, le=50.0, step=0.5)
    """How closely the words are followed. Empty: what suits the model."""
    sampler: schedulers.Sampler = api.param("model", labels=schedulers.SAMPLER_LABELS)
    """The way from noise to picture."""
    schedule: schedulers.Schedule = api.param("model", labels=schedulers.SCHEDULE_LABELS, advanced=True)
    """How the steps are spread: Karras and Exponential take more of them for fine detail."""
    loras: list[api.ModelChoice] = api.param([], model="lora", max_items=16, title="LoRAs", advanced=True, group=ADDED)
    """Small files that change the model. `<lora:name:0.8>` in the prompt does the same."""
    lora_weights: list[float] = api.param([], max_items=16, title="Their weights", advanced=True, group=ADDED)
    """In the order of the LoRAs. One that is missing is 1."""
    embeddings: list[api.ModelChoice] = api.param(
        [], model="embedding", max_items=16, title="Textual inversions", advanced=True, group=ADDED
    )
    """Words learned from pictures. One that no prompt names by its file's name stands at the end of the prompt."""
    vae: api.ModelChoice | None = api.param(None, model="autoencoder", title="Autoencoder", advanced=True)
    """Turns latents into colours in the place of the model's own, which other programs call the VAE."""
    clip_skip: int = api.param(0, ge=0, le=11, title="Clip skip", advanced=True)
    """How many of the text encoder's last layers are left out, for models that were trained so."""
    rescale: api.Unit = api.param(0.0, title="Calm contrast", advanced=True)
    """Against colours that strong guidance burns out."""


class GenerationParams(
    acceleration.SpeedParams, ip_adapter.ReferenceParams, controlnet.ControlNetParams, SamplingParams
):
    """With what and how, and guided by which pictures."""
