"""Sizes that a model can paint."""

from __future__ import annotations

import math
from typing import Protocol

from studio import api

from ..checkpoints.families import Family
from .params import SizeParams


class SizedModel(Protocol):
    """What sizes follow from: a model that is loaded, or what its files say of it."""

    @property
    def title(self) -> str: ...

    @property
    def family(self) -> Family: ...

    @property
    def size(self) -> int:
        """Side in pixels of the pictures that the model was made for."""

    @property
    def multiple(self) -> int:
        """What sides must be multiples of, in pixels."""


def from_params(model: SizedModel, params: SizeParams) -> tuple[int, int]:
    """Width and height in pixels. Raises BadInput, naming the nearest sizes, for what the model cannot paint."""
    across, down = (1, 1) if params.shape == "model" else (int(side) for side in params.shape.split(":"))
    near = from_ratio(model, across / down)
    if params.width and params.height:
        near = (params.width, params.height)
    elif params.width:
        near = (params.width, round_to_multiple(params.width * down / across, model.multiple))
    elif params.height:
        near = (round_to_multiple(params.height * across / down, model.multiple), params.height)
    check(model, *near)
    return near


def from_ratio(model: SizedModel, ratio: float) -> tuple[int, int]:
    """As many pixels as the model was made for, `ratio` times as wide as high."""
    side = model.size * math.sqrt(ratio)
    return round_to_multiple(side, model.multiple), round_to_multiple(side / ratio, model.multiple)


def from_image(model: SizedModel, width: int, height: int) -> tuple[int, int]:
    """The picture's own size where the model is at ease with it; else as many pixels as it was made for."""
    share = math.sqrt(width * height) / model.size
    if not 0.75 <= share <= 1.5:
        return from_ratio(model, width / height)
    return round_to_multiple(width, model.multiple), round_to_multiple(height, model.multiple)


def check(model: SizedModel, width: int, height: int) -> None:
    """Raises BadInput where the sides are no multiples of what the model needs, or shorter than it can paint."""
    step, least = model.multiple, model.family.min_side
    if min(width, height) < least:
        raise api.BadInput(f"{model.title} paints sides of {least} px at least.", "Choose a larger size.")
    if width % step == 0 and height % step == 0:
        return
    low = tuple(max(step, side // step * step) for side in (width, height))
    high = tuple(-(-side // step) * step for side in (width, height))
    raise api.BadInput(
        f"{model.title} paints sides that are multiples of {step} px, and {width} × {height} is not.",
        f"Take {low[0]} × {low[1]} or {high[0]} × {high[1]}.",
    )


def round_to_multiple(side: float, step: int) -> int:
    """The nearest multiple of `step`, at least one."""
    return max(1, round(side / step)) * step
