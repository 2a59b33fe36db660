"""Families in two folders: a prior turns the prompt into an image embedding, and a decoder makes the image of that.

The artist chooses the decoder's folder. The prior lies next to it, or is the one that the model card on the hub names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

from ..checkpoints import diffusers_folder
from ..checkpoints.families import FAMILIES, Task, decoder_pipelines

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_MODEL_CARD = "README.md"


def find_combined_pipeline(decoder: str) -> type[DiffusionPipeline] | None:
    """Find the pipeline class of prior and decoder together, by the decoder's class name; None for others."""
    for family, pipeline_class in decoder_pipelines():
        if pipeline_class.__name__ == decoder:
            return FAMILIES[family].pipeline_class(Task.TEXT_TO_IMAGE)
    return None


def find_prior(decoder: diffusers_folder.DiffusersFolder) -> diffusers_folder.DiffusersFolder:
    """Find the prior among the folders next to the decoder's. Raises BadInput where none of them is one."""
    prior = _prior_class_name(decoder.pipeline)
    for path in sorted(decoder.path.parent.iterdir(), key=lambda path: _name_distance(path, decoder.path)):
        if (path / diffusers_folder.INDEX).is_file() and diffusers_folder.pipeline_class_of(path) == prior:
            return diffusers_folder.inspect_folder(path)
    raise api.BadInput(
        f"{decoder.path.name} is only the decoder; the prior that encodes the prompt, a {prior}, is missing.",
        "Put its folder next to this one.",
    )


def find_hub_prior(decoder: Path) -> str | None:
    """Return the hub name of the prior, from the model card of a decoder that came from the hub."""
    from huggingface_hub import ModelCard

    if not (decoder / _MODEL_CARD).is_file():
        return None
    names = getattr(ModelCard.load(decoder / _MODEL_CARD).data, "prior", None)
    return str(names[0]) if isinstance(names, list) and names else None


def combine(
    pipeline_class: type[DiffusionPipeline], decoder: DiffusionPipeline, prior: DiffusionPipeline
) -> DiffusionPipeline:
    """Build the combined pipeline from the components of both."""
    return pipeline_class(
        **decoder.components, **{f"prior_{name}": component for name, component in prior.components.items()}
    )


def _prior_class_name(decoder: str) -> str:
    name = decoder.removesuffix("Pipeline")
    for ending in ("Decoder", "Img2Img", "Inpaint"):
        name = name.removesuffix(ending)
    return f"{name}PriorPipeline"


def _name_distance(path: Path, decoder: Path) -> tuple[int, str]:
    """Sort first the folders whose names have the longest beginning in common with the decoder's."""
    common = 0
    for letter, other in zip(path.name, decoder.name, strict=False):
        if letter != other:
            break
        common += 1
    return -common, path.name
