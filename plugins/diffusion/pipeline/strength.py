"""The denoising strength of pipelines that start from an image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from studio import api

from ..checkpoints.families import accepts, default_of
from ..models.model import Model

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


class StrengthParams(Protocol):
    """Parameters with a denoising strength from 0 to 1."""

    @property
    def strength(self) -> float: ...
    @property
    def steps(self) -> int | None: ...


def build_args(model: Model, pipe: DiffusionPipeline, params: StrengthParams) -> dict[str, Any]:
    """Return the arguments for the denoising strength, with at least as many steps as one step of denoising needs.

    They are empty for a pipeline without it, such as one that edits by instructions.
    """
    if not accepts(pipe, "strength"):
        return {}
    steps_name = model.family.steps_name
    steps = params.steps or model.family.steps or default_of(pipe, steps_name) or 1
    strength = max(params.strength, 0.01)
    return {"strength": strength, steps_name: max(steps, math.ceil(1 / strength))}


def warn_if_ignored(pipe: DiffusionPipeline, params: api.Params, reason: str) -> Iterator[api.Notice]:
    """Yield a notice if the artist has changed the denoising strength and the pipeline has none."""
    default = type(params).model_fields["strength"].default
    if getattr(params, "strength", default) != default and not accepts(pipe, "strength"):
        yield api.Notice(f"{reason}; the denoising strength has no effect.")
