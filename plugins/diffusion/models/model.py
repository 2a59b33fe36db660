"""A loaded diffusion model, and its pipelines for the different tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints.families import Family, Task
from .latents import LinearPreview, autoencoder_of, scale_factor_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, SchedulerMixin


@dataclass
class Model:
    """Loaded weights, and the pipelines that were built over them so far.

    `key` differs from that of any other model, also of an earlier state of the same files. `base` is the pipeline that
    was loaded, and `scheduler` the one that it came with.
    """

    key: str
    title: str
    family: Family
    base: DiffusionPipeline
    scheduler: SchedulerMixin
    fallbacks: list[str] = field(default_factory=list)
    """Names of the fallbacks that were taken to save memory; they stay with the model."""
    preview: LinearPreview | None = None
    _pipelines: dict[Task, DiffusionPipeline] = field(default_factory=dict)

    def pipeline_for(self, task: Task) -> DiffusionPipeline:
        """Return the pipeline for a task; all share the weights. Raises BadInput where the model has none."""
        pipeline_class = self.family.pipeline_class(task)
        if task is Task.TEXT_TO_IMAGE and self.base.config.get("requires_aesthetics_score"):
            raise api.BadInput(
                f"{self.title} is a refiner and needs an image to start from.", "Use it in Image to image."
            )
        if task is not Task.INPAINT and _is_for_inpainting(self.base):
            raise api.BadInput(
                f"{self.title} is made for inpainting only.", "Use it in Inpaint, or choose another model."
            )
        if task is Task.INPAINT and self.family.needs_inpainting_model and not _is_for_inpainting(self.base):
            raise api.BadInput(
                f"{self.title} cannot inpaint.", f"Choose the {self.family.title} that is made for inpainting."
            )
        if isinstance(self.base, pipeline_class):
            return self.base
        if task not in self._pipelines:
            self._pipelines[task] = self.build_pipeline(pipeline_class)
        return self._pipelines[task]

    def build_pipeline(self, pipeline_class: type[DiffusionPipeline], **components: object) -> DiffusionPipeline:
        """Build a pipeline over the model's components, and further `components` that the model does not have."""
        with api.model_files.quiet_load():
            return without_progress_bar(pipeline_class(**_arguments(self.base, pipeline_class) | components))

    @property
    def size(self) -> int:
        """Side in pixels of the images that the model was made for."""
        denoiser = getattr(self.base, "unet", None) or getattr(self.base, "transformer", None)
        size = getattr(self.base, "default_sample_size", None)
        size = size or getattr(getattr(denoiser, "config", None), "sample_size", None)
        if isinstance(size, list | tuple):
            size = size[0]
        return int(size) * scale_factor_of(self.base) if size else self.family.native_size

    @property
    def multiple(self) -> int:
        """Number of pixels that the sides of an image must be multiples of; 8 for nearly all pipelines."""
        return math.lcm(8, scale_factor_of(self.base) * self.family.multiple)


def without_progress_bar(pipe: DiffusionPipeline) -> DiffusionPipeline:
    """Switch off the progress bars of a pipeline, which nobody sees and whose library would start a thread."""
    from tqdm import tqdm

    tqdm.monitor_interval = 0
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _is_for_inpainting(pipe: DiffusionPipeline) -> bool:
    """Check for a UNet whose input also has channels for a mask and a masked image."""
    unet, autoencoder = getattr(pipe, "unet", None), autoencoder_of(pipe)
    return unet is not None and unet.config.in_channels == 2 * autoencoder.config.latent_channels + 1


def _arguments(base: DiffusionPipeline, pipeline_class: type[DiffusionPipeline]) -> dict[str, Any]:
    """Collect the arguments for another pipeline over the same components."""
    expected, optional = pipeline_class._get_signature_keys(pipeline_class)
    components = {name: component for name, component in base.components.items() if name in expected}
    settings = {name: base.config[name] for name in optional if name in base.config}
    return {**dict.fromkeys(expected - components.keys()), **components, **settings}
