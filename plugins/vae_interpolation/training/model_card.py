"""The model card of a trained autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What a training leaves to say. `held_out` is the PSNR in dB by folder."""

    title: str
    kind: str
    size: int
    pictures: Mapping[str, int]
    held_out: Mapping[str, float]
    seed: int
    steps: int
    minutes: float
    parameters: int


def text(facts: Facts) -> str:
    """The card as Markdown."""
    kind = "spatial (diffusers `AutoencoderKL`)" if facts.kind == "spatial" else "global (one latent vector)"
    rows = "\n".join(
        f"| {name} | {count:,} | {facts.held_out.get(name, '–')} |" for name, count in facts.pictures.items()
    )
    return (
        f"# {facts.title}\n\n"
        f"An autoencoder, {kind}, {facts.parameters:,} parameters, trained with `vae.train` at {facts.size} px.\n\n"
        f"Seed {facts.seed}, {facts.steps:,} steps, {facts.minutes:.0f} minutes of training.\n\n"
        "| folder | pictures learnt from | PSNR of held-out pictures, dB |\n|---|---|---|\n"
        f"{rows}\n"
    )
