"""Families in two folders: a prior makes an embedding of the words, and a decoder a picture of that.

The folder that is chosen is the decoder's. Its prior lies next to it, or is what the model card on the hub names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studio import api

from ..checkpoints import diffusers_folder
from ..checkpoints.families import FAMILIES, Task, decoder_pipelines

_CARD = "README.md"


def combined_pipeline(decoder: str) -> Any | None:
    """The pipeline that a decoder, by the name of its class, is half of; None for what is none."""
    for family, pipeline in decoder_pipelines():
        if pipeline.__name__ == decoder:
            return FAMILIES[family].pipeline_class(Task.TEXT_TO_IMAGE)
    return None


def find_prior(decoder: diffusers_folder.Folder) -> diffusers_folder.Folder:
    """The other half, from the folders next to the decoder's. Raises BadInput where none of them is."""
    wanted = _prior(decoder.pipeline)
    for path in sorted(decoder.path.parent.iterdir(), key=lambda path: _unlike(path, decoder.path)):
        if (path / diffusers_folder.INDEX).is_file() and diffusers_folder.pipeline_class_of(path) == wanted:
            return diffusers_folder.inspect_folder(path)
    raise api.BadInput(
        f"{decoder.path.name} is only the half that paints; the one that reads the words, a {wanted}, is missing.",
        "Put its folder next to this one.",
    )


def find_hub_prior(decoder: Path) -> str | None:
    """The name of the other half, from the card of a decoder that came from the hub."""
    from huggingface_hub import ModelCard

    if not (decoder / _CARD).is_file():
        return None
    named = getattr(ModelCard.load(decoder / _CARD).data, "prior", None)
    return str(named[0]) if isinstance(named, list) and named else None


def combine(kind: Any, decoder: Any, prior: Any) -> Any:
    """The whole pipeline over the parts of both."""
    return kind(**decoder.components, **{f"prior_{name}": part for name, part in prior.components.items()})


def _prior(decoder: str) -> str:
    name = decoder.removesuffix("Pipeline")
    for ending in ("Decoder", "Img2Img", "Inpaint"):
        name = name.removesuffix(ending)
    return f"{name}PriorPipeline"


def _unlike(path: Path, decoder: Path) -> tuple[int, str]:
    """Folders whose names begin as the decoder's does come first."""
    shared = 0
    for one, other in zip(path.name, decoder.name, strict=False):
        if one != other:
            break
        shared += 1
    return -shared, path.name
