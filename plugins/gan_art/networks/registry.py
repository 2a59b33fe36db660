"""Builds networks from their weights by the name of their architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from . import stylegan2
from .biggan import build_biggan
from .building import list_shapes
from .dcgan import build_dcgan
from .fastgan import build_fastgan
from .lightweight_gan import build_lightweight_gan
from .lucidrains_stylegan2 import build_lucidrains_stylegan2
from .progressive_gan import build_progressive_gan
from .r3gan import build_r3gan
from .stylegan3 import build_stylegan3

Builder = Callable[[Mapping[str, Tensor], float | None, Mapping[str, Any]], nn.Module]


def _build_stylegan2(weights: Mapping[str, Tensor], clamp: float | None, options: Mapping[str, Any]) -> nn.Module:  # noqa: ARG001
    network = stylegan2.Generator(stylegan2.read_generator_config(list_shapes(weights), clamp=clamp))
    network.load_state_dict(dict(weights))
    return network


GENERATORS: dict[str, Builder] = {
    "stylegan2": _build_stylegan2,
    "stylegan3": build_stylegan3,
    "r3gan": build_r3gan,
    "fastgan": build_fastgan,
    "lightweight_gan": build_lightweight_gan,
    "lucidrains_stylegan2": build_lucidrains_stylegan2,
    "progressive_gan": build_progressive_gan,
    "biggan": build_biggan,
    "dcgan": build_dcgan,
}
"""Functions that build a generator from (weights, activation clamp, options) by architecture."""


def build_generator(
    architecture: str, weights: Mapping[str, Tensor], *, clamp: float | None = None, options: Mapping[str, Any]
) -> nn.Module:
    """Return the generator with these weights. Raises ValueError if they do not fit to the architecture."""
    if architecture not in GENERATORS:
        raise ValueError(f"unknown architecture {architecture}")
    return GENERATORS[architecture](weights, clamp, options)


def build_discriminator(
    weights: Mapping[str, Tensor], image_size: tuple[int, int], *, clamp: float | None = None
) -> stylegan2.Discriminator:
    """Return the StyleGAN2 discriminator with these weights. Raises ValueError if they do not fit."""
    short = min(image_size)
    constant = image_size[0] * stylegan2.FIRST // short, image_size[1] * stylegan2.FIRST // short
    config = stylegan2.read_discriminator_config(list_shapes(weights), constant=constant, clamp=clamp)
    network = stylegan2.Discriminator(config)
    network.load_state_dict(dict(weights))
    return network
