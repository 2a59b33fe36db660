"""Writes the result of a training: a model, a LoRA or an embedding, with its card and its metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studio import api

from ..models.loader import LoadedAutoencoder
from . import lora_file, lora_metadata, model_card, small_model, textual_inversion
from .base_model import BaseModel
from .caption_options import CaptionOptions
from .dataset import LoadedImages
from .presets import Settings
from .small_model import Components
from .trainer import Trainer


@dataclass(frozen=True)
class TrainedModel:
    """Holds what stays the same in all models that a training writes. `size` is that of the images in pixels."""

    settings: Settings
    size: int
    seed: int
    images: LoadedImages
    captions: CaptionOptions
    autoencoder: LoadedAutoencoder
    base: BaseModel | None

    def write(self, folder: Path, trainer: Trainer, title: str) -> api.Trained:
        """Write the averaged weights, with a model card, into a new folder."""
        folder.mkdir(parents=True, exist_ok=True)
        starter, kind, name = "", "diffusion", ""
        match self.settings.kind:
            case "lora":
                tensors = lora_file.collect_tensors(trainer.ema_components)
                kind, name = "lora", lora_file.FILE
            case "embedding":
                tensors = textual_inversion.collect_tensors(trainer.ema_components)
                # Other programs call an embedding by the name of its file.
                kind, name = "embedding", f"{textual_inversion.require_word(self.captions.trigger)}.safetensors"
            case _:
                tensors, starter = {}, self.autoencoder.starter
        if tensors:
            weight_count = sum(value.numel() for value in tensors.values() if value.ndim)
        else:
            weight_count = sum(value.numel() for value in trainer.ema.parameters())
            assert isinstance(trainer.ema_components, Components)
            small_model.save_pipeline(trainer.ema_components, folder, None if starter else self.autoencoder.vae)
        components = {"vae": starter} if starter else {}
        if components:
            small_model.write_component_names(folder, components)
        summary = model_card.TrainingSummary(
            title=title,
            size=self.size,
            image_counts=self.images.counts,
            seed=self.seed,
            state=trainer.state,
            weight_count=weight_count,
            prompts=trainer.prompts,
            starter_autoencoder=starter,
            base=self.base.title if self.base else "",
            kind=kind,
            settings=self.settings.describe(),
            trigger=self.captions.trigger,
        )
        model_card.build_card(summary).write(folder)
        if tensors:
            metadata = lora_metadata.build_metadata(
                self.settings, summary, self.images, self.captions, trainer.ema_components
            )
            lora_file.write(folder, tensors, metadata, name)
        notes = {"loss": round(trainer.state.loss, 4), "steps": trainer.state.step, "components": components}
        return api.Trained(folder, title, kind, notes)
