"""Builds the networks of a training from its parameters, and estimates what they need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from studio import api

from ..models.gan_model import GanModel
from .data import size_of
from .params import Architecture, Aspect, GanTrainingParams, Width

if TYPE_CHECKING:
    from torch import Tensor

    from ..networks.layers import Noise
    from ..networks.stylegan2 import Discriminator, Generator

STEPS, BATCH, LEARNING_RATE = 30_000, 16, 2e-3
WIDTHS: dict[Width, tuple[int, ...]] = {
    "tiny": (16, 16, 16, 8, 8, 8, 8, 8, 8),
    "small": (128, 128, 96, 48, 24, 24, 16, 16, 8),
    "medium": (256, 256, 192, 128, 64, 48, 32, 24, 16),
    "large": (512, 512, 512, 512, 512, 256, 128, 64, 32),
}
"""Channels of the blocks of 4, 8, … 1024 px."""
FASTGAN_WIDTHS: dict[Width, int] = {"tiny": 2, "small": 8, "medium": 32, "large": 64}
"""Channels at 128 px."""
LATENTS: dict[Width, int] = {"tiny": 32, "small": 128, "medium": 256, "large": 512}
MAPPING_LAYERS: dict[Width, int] = {"tiny": 2, "small": 2, "medium": 4, "large": 8}
LABEL_SIZES: dict[Width, int] = {"tiny": 16, "small": 64, "medium": 128, "large": 512}


@dataclass(frozen=True)
class GanDefaults(api.training.TrainingDefaults):
    """The numbers of a training that the artist has left empty."""

    gamma: float = 0.2


def choose_numbers(params: GanTrainingParams) -> GanDefaults:
    """Return the numbers of a training."""
    gamma = 0.2 * (params.size / 32) ** 2 if params.gamma is None else params.gamma
    return GanDefaults(STEPS, BATCH, LEARNING_RATE, gamma).override(params)


def build_networks(params: GanTrainingParams, classes: int, base: GanModel | None) -> tuple[Any, Discriminator]:
    """Return a generator and a discriminator, new ones or copies of those of a base model.

    Raises BadInput for a base model that does not fit, and for a FastGAN with classes or another shape than a square.
    """
    if base is not None:
        return _copy_networks(params, classes, base)
    if params.architecture == "fastgan":
        if classes or params.aspect != "1:1":
            raise api.BadInput(
                "A FastGAN is square and has no classes.", "Choose StyleGAN2, or a square without “Class by”."
            )
        return _create_fastgan(params.size, params.width, params.noise_from, params.transparent)
    return _create_networks(params.size, params.aspect, params.width, params.noise_from, params.transparent, classes)


def _create_networks(
    size: int, aspect: Aspect, width: Width, noise_from: int, transparent: bool, classes: int
) -> tuple[Generator, Discriminator]:
    from ..networks import stylegan2

    blocks = (size // stylegan2.FIRST).bit_length()
    widths = WIDTHS[width][:blocks]
    height, image_width = size_of(size, aspect)
    constant = height * stylegan2.FIRST // size, image_width * stylegan2.FIRST // size
    channels = 4 if transparent else 3
    generator = stylegan2.GeneratorConfig(
        latent_size=LATENTS[width],
        style_size=LATENTS[width],
        mapping_layers=MAPPING_LAYERS[width],
        widths=widths,
        constant=constant,
        channels=channels,
        classes=classes,
        noise_from=min(blocks, (noise_from // stylegan2.FIRST).bit_length() - 1),
    )
    discriminator = stylegan2.DiscriminatorConfig(
        widths, constant, channels, classes, LABEL_SIZES[width] if classes else 0
    )
    return stylegan2.Generator(generator), stylegan2.Discriminator(discriminator)


def build_decoder(params: GanTrainingParams, discriminator: Discriminator) -> Any:
    """Return the decoder that a FastGAN's discriminator learns with; None for a StyleGAN2."""
    if params.architecture != "fastgan":
        return None
    from ..networks.image_decoder import SIDE, ImageDecoder

    config = discriminator.config
    return ImageDecoder(config.widths[(SIDE // 4).bit_length() - 1], config.channels, params.size)


def _create_fastgan(size: int, width: Width, noise_from: int, transparent: bool) -> tuple[Any, Discriminator]:
    from ..networks import fastgan

    channels = 4 if transparent else 3
    generator = fastgan.create_generator(2 * LATENTS[width], size, FASTGAN_WIDTHS[width], channels)
    _, discriminator = _create_networks(size, "1:1", width, noise_from, transparent, 0)
    return generator, discriminator


def _copy_networks(params: GanTrainingParams, classes: int, base: GanModel) -> tuple[Generator, Discriminator]:
    """Return copies of the networks of a base model, with new layers for the labels where the classes differ."""
    from ..networks import stylegan2

    source = base.generator
    if not isinstance(source, stylegan2.Generator):
        raise api.BadInput(
            f"{base.title} is of the architecture {base.config.architecture}, which cannot be trained further.",
            "Choose a StyleGAN2 as base model.",
        )
    height, width = size_of(params.size, params.aspect)
    channels = 4 if params.transparent else 3
    if source.image_size != (height, width) or source.channels != channels:
        known = "with" if source.channels == 4 else "without"
        raise api.BadInput(
            f"{base.title} makes images of {source.image_size[1]} × {source.image_size[0]} px {known} transparency, "
            f"and the training is set to {width} × {height} px.",
            "Choose its size, or another base model.",
        )
    generator = stylegan2.Generator(replace(source.config, classes=classes))
    _copy_fitting(generator, source.state_dict())
    if base.discriminator is None:
        discriminator = _create_networks(
            params.size, params.aspect, params.width, params.noise_from, params.transparent, classes
        )[1]
        return generator, discriminator
    config = base.discriminator.config
    label_size = (config.label_size or LABEL_SIZES[params.width]) if classes else 0
    discriminator = stylegan2.Discriminator(replace(config, classes=classes, label_size=label_size))
    _copy_fitting(discriminator, base.discriminator.state_dict())
    for name in discriminator.names[: params.frozen_layers]:
        discriminator.get_submodule(name).requires_grad_(False)
    return generator, discriminator


def _copy_fitting(network: Any, weights: dict[str, Tensor]) -> None:
    """Load the weights whose shapes fit; the others, such as those of labels, stay new."""
    own = network.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    network.load_state_dict(fitting, strict=False)


@cache
def measure_networks(
    architecture: Architecture, size: int, aspect: Aspect, width: Width, transparent: bool
) -> api.training.NetworkCost:
    """Return the cost of a training of new networks for one image."""
    import torch

    def build() -> Any:
        if architecture == "fastgan":
            return torch.nn.ModuleList(_create_fastgan(size, width, 32, transparent))
        return torch.nn.ModuleList(_create_networks(size, aspect, width, 32, transparent, 0))

    def forward(networks: Any) -> Tensor:
        generator, discriminator = networks
        latents = torch.zeros(1, generator.latent_size, device="meta")
        noise: Noise = "const" if architecture == "stylegan2" else "none"  # a FastGAN draws its noise on the CPU
        images = generator.synthesize(generator.map_latents(latents), noise)
        scores: Tensor = discriminator(images) + discriminator(torch.zeros_like(images))
        return scores

    return api.training.measure_network(build, forward)
