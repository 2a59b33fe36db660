"""A loaded diffusion model, and its pipelines for the different tasks."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

from studio import api

from ..checkpoints.families import Family, Task
from .latents import LinearPreview, autoencoder_of, scale_factor_of


@dataclass
class Model:
    """Loaded weights, and the pipelines over them that were asked for so far."""

    key: str
    """Tells it from any other, also from an earlier state of itself."""
    title: str
    family: Family
    base: Any
    scheduler: Any
    """The model's own; samplers are made after it."""
    fallbacks: list[str] = field(default_factory=list)
    """The steps of the memory ladder that were taken; they stay with the model."""
    preview: LinearPreview | None = None
    _pipes: dict[Task, Any] = field(default_factory=dict)

    def pipeline_for(self, task: Task) -> Any:
        """The pipeline for a task; all share the weights. Raises BadInput when the family has none."""
        wanted = self.family.pipeline_class(task)
        if task is Task.TEXT_TO_IMAGE and self.base.config.get("requires_aesthetics_score"):
            raise api.BadInput(f"{self.title} refines pictures and cannot paint from words.", "Use it to repaint.")
        if task is not Task.INPAINT and _fills_in_only(self.base):
            raise api.BadInput(f"{self.title} is made for inpainting alone.", "Use it there, or choose another model.")
        if task is Task.INPAINT and self.family.needs_inpainting_model and not _fills_in_only(self.base):
            raise api.BadInput(
                f"{self.title} cannot fill in a part of a picture.", f"Choose the {self.family.title} for inpainting."
            )
        if isinstance(self.base, wanted):
            return self.base
        if task not in self._pipes:
            self._pipes[task] = self.build_pipeline(wanted)
        return self._pipes[task]

    def build_pipeline(self, wanted: Any, **more: Any) -> Any:
        """A new pipeline of a class over the same parts, and `more` that the model does not have."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return without_progress_bars(wanted(**_shared(self.base, wanted) | more))

    @property
    def size(self) -> int:
        """Side in pixels of the pictures that the model was made for."""
        denoiser = getattr(self.base, "unet", None) or getattr(self.base, "transformer", None)
        size = getattr(self.base, "default_sample_size", None)
        size = size or getattr(getattr(denoiser, "config", None), "sample_size", None)
        if isinstance(size, list | tuple):
            size = size[0]
        return int(size) * scale_factor_of(self.base) if size else self.family.native_size

    @property
    def multiple(self) -> int:
        """Sides must be multiples of this, in pixels. Nearly all pipelines insist on eight."""
        return math.lcm(8, scale_factor_of(self.base) * self.family.multiple)


def _fills_in_only(pipe: Any) -> bool:
    """Denoisers of the Stable Diffusion kind that also look at a mask and a masked picture."""
    unet, coder = getattr(pipe, "unet", None), autoencoder_of(pipe)
    return unet is not None and unet.config.in_channels == 2 * coder.config.latent_channels + 1


def without_progress_bars(pipe: Any) -> Any:
    """Nobody sees them, and the library of theirs would start a thread."""
    from tqdm import tqdm

    tqdm.monitor_interval = 0
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _shared(base: Any, wanted: Any) -> dict[str, Any]:
    """The arguments for another pipeline over the same parts."""
    expected, optional = wanted._get_signature_keys(wanted)
    parts = {name: part for name, part in base.components.items() if name in expected}
    settings = {name: base.config[name] for name in optional if name in base.config}
    return {**dict.fromkeys(expected - parts.keys()), **parts, **settings}
