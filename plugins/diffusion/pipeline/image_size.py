"""Sizes of images that a model can generate."""

from __future__ import annotations

import math
from typing import Protocol

from studio import api

from ..checkpoints.families import Family
from .params import SizeParams


class SizedModel(Protocol):
    """The properties that sizes follow from, of a loaded model or of its metadata."""

    @property
    def title(self) -> str: ...

    @property
    def family(self) -> Family: ...

    @property
    def size(self) -> int:
        """Side in pixels of the images that the model was made for."""

    @property
    def multiple(self) -> int:
        """Number of pixels that the sides of an image must be multiples of."""


def from_params(model: SizedModel, params: SizeParams) -> tuple[int, int]:
    """Return the width and height in pixels that the artist asks for.

    Raises BadInput, naming the nearest sizes, if the model cannot generate that size.
    """
    across, down = (1, 1) if params.shape == "model" else (int(side) for side in params.shape.split(":"))
    size = from_ratio(model, across / down)
    if params.width and params.height:
        size = (params.width, params.height)
    elif params.width:
        size = (params.width, api.images.round_to_multiple(params.width * down / across, model.multiple))
    elif params.height:
        size = (api.images.round_to_multiple(params.height * across / down, model.multiple), params.height)
    check(model, *size)
    return size


def from_ratio(model: SizedModel, ratio: float) -> tuple[int, int]:
    """Return the size with an aspect ratio (width / height) and as many pixels as the model was made for."""
    side = model.size * math.sqrt(ratio)
    return _round_sides(model, side, side / ratio)


def from_image(model: SizedModel, width: int, height: int) -> tuple[int, int]:
    """Return the size at which to generate from an image: its own, or one of its shape that suits the model."""
    scale = math.sqrt(width * height) / model.size
    if not 0.75 <= scale <= 1.5:
        return from_ratio(model, width / height)
    return _round_sides(model, width, height)


def check(model: SizedModel, width: int, height: int) -> None:
    """Raise BadInput if the sides are not multiples of what the model needs, or shorter than it supports."""
    multiple, minimum = model.multiple, model.family.min_side
    if min(width, height) < minimum:
        raise api.BadInput(f"{model.title} needs sides of at least {minimum} px.", "Choose a larger size.")
    if width % multiple == 0 and height % multiple == 0:
        return
    lower = tuple(max(multiple, side // multiple * multiple) for side in (width, height))
    upper = tuple(-(-side // multiple) * multiple for side in (width, height))
    raise api.BadInput(
        f"{model.title} needs sides that are multiples of {multiple} px, and {width} × {height} is not.",
        f"Use {lower[0]} × {lower[1]} or {upper[0]} × {upper[1]}.",
    )


def _round_sides(model: SizedModel, width: float, height: float) -> tuple[int, int]:
    return api.images.round_to_multiple(width, model.multiple), api.images.round_to_multiple(height, model.multiple)
