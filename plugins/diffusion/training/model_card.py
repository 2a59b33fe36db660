"""The model card of a trained diffusion model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What a training leaves to say. `pictures` counts by folder; `base` is the model that was taught, or
    that a LoRA was learnt for."""

    title: str
    size: int
    pictures: Mapping[str, int]
    seed: int
    steps: int
    minutes: float
    parameters: int
    loss: float
    prompts: Sequence[str]
    borrowed: str = ""
    base: str = ""
    is_lora: bool = False


def text(facts: Facts) -> str:
    """The card as Markdown."""
    what = (
        f"A LoRA for {facts.base}, {facts.parameters:,} parameters, learnt"
        if facts.is_lora
        else f"A latent diffusion model (diffusers `StableDiffusionPipeline`), {facts.parameters:,} parameters, trained"
        + (f" further from {facts.base}" if facts.base else "")
    )
    rows = "\n".join(f"| {name} | {count:,} |" for name, count in facts.pictures.items())
    borrowed = f"\nIts autoencoder is the starter `{facts.borrowed}`, which is not part of this folder.\n"
    asked = "".join(f"- {prompt}\n" for prompt in facts.prompts)
    return (
        f"# {facts.title}\n\n{what} with `diffusion.train` at {facts.size} px.\n"
        f"{borrowed if facts.borrowed else ''}\n"
        f"Seed {facts.seed}, {facts.steps:,} steps, {facts.minutes:.0f} minutes of training, "
        f"loss {facts.loss:.3f}.\n\n"
        f"| folder | pictures learnt from |\n|---|---|\n{rows}\n\n"
        f"Prompts that were watched while it learnt:\n\n{asked}"
    )
