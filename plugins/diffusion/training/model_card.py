"""The model card of a trained diffusion model, LoRA or embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from studio import api


@dataclass(frozen=True)
class TrainingSummary:
    """The facts of a training that its card tells. `image_counts` are by folder."""

    title: str
    size: int
    image_counts: Mapping[str, int]
    seed: int
    state: api.training.TrainingState
    weight_count: int
    prompts: Sequence[str]
    starter_autoencoder: str = ""
    """Name of the starter that provides the autoencoder; empty if the model has its own."""
    base: str = ""
    """Title of the model that was fine-tuned, or that the LoRA or the embedding is for."""
    kind: str = "diffusion"
    """Kind of the model: `diffusion`, `lora` or `embedding`."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Names and values of the training's options, in words."""
    trigger: str = ""


def build_card(summary: TrainingSummary) -> api.model_card.ModelCard:
    """Build the card of a model."""
    rows = api.model_card.training_rows(
        "diffusion.train", summary.state, seed=summary.seed, parameters=summary.weight_count
    )
    return api.model_card.ModelCard(
        title=summary.title,
        summary=_describe(summary),
        rows={**summary.settings, **rows, "Image size": f"{summary.size} px", "Loss": f"{summary.state.loss:.3f}"},
        data=summary.image_counts,
        sections={"Preview prompts": "".join(f"- {api.model_card.escape(prompt)}\n" for prompt in summary.prompts)},
    )


def _describe(summary: TrainingSummary) -> str:
    word = api.model_card.escape(summary.trigger.strip())
    if summary.kind == "lora":
        text = f"A LoRA for {summary.base}."
        text += f" Its trigger word is {word}." if word else ""
    elif summary.kind == "embedding":
        text = f"An embedding (textual inversion) for {summary.base}."
        text += f" Choose it under *Embeddings*, and write {word} in the prompt."
    else:
        text = "A latent diffusion model (diffusers `StableDiffusionPipeline`)"
        text += f", fine-tuned from {summary.base}." if summary.base else "."
    if summary.starter_autoencoder:
        text += f"\n\nIts autoencoder is the starter `{summary.starter_autoencoder}`, which is not in this folder."
    return text
