"""Creates a training from its parameters, with the networks, losses and defaults of each training kind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio import api

from ..effects.registry import Effect
from ..models import generators
from . import cut, cyclegan, discriminators, few_paintings, pix2pix
from .base import Hyperparameters, StyleTraining
from .crops import EffectPairs, RandomCrops, crop_center
from .metrics import Holdout
from .params import NetworkSize, StyleTrainingParams, TrainingKind
from .starting_style import StartingStyle

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Passes:
    """The number of networks of a training kind, and how often a step runs the generators on a crop."""

    generators: int
    discriminators: int
    generator_passes: int


PASSES: Mapping[TrainingKind, Passes] = {
    "effect": Passes(1, 1, 1),
    "paintings": Passes(1, 0, 1),
    "cut": Passes(1, 1, 4),
    "cyclegan": Passes(2, 2, 6),
}
MAX_HOLDOUT = 12
"""Maximum number of images that are evaluated and shown."""


@dataclass(frozen=True)
class Preset(api.training.TrainingDefaults):
    """Defaults of a training kind, with the numbers of photos and paintings below which the artist is warned."""

    photos: int = 0
    paintings: int = 0
    min_paintings: int = 0
    """Number of paintings below which the training is refused."""


PRESETS: Mapping[TrainingKind, Preset] = {
    "effect": Preset(6000, 4, 1e-3, photos=100),
    "paintings": Preset(3000, 4, 1e-3, photos=100, paintings=1, min_paintings=1),
    "cut": Preset(10_000, 2, 2e-4, photos=200, paintings=100, min_paintings=2),
    "cyclegan": Preset(10_000, 1, 2e-4, photos=200, paintings=100, min_paintings=2),
}

ADVERSARIAL_WEIGHTS: Mapping[Effect, float] = {"glass": 1.0, "ink": 0.2, "pencil": 0.2}
"""Weights of the discriminator for effects with detail that does not follow from the photo."""

RESNETS: Mapping[NetworkSize, dict[str, Any]] = {
    "tiny": {"blocks": 2, "width": 8, "separable": True},
    "small": {"blocks": 6, "width": 32, "separable": True},
    "medium": {"blocks": 6, "width": 48},
    "large": {"blocks": 9, "width": 64},
}
PATTERN_NETWORKS: Mapping[NetworkSize, dict[str, Any]] = {
    "tiny": {"blocks": 1, "width": 8},
    "small": {"blocks": 6, "width": 24},
    "medium": {"blocks": 8, "width": 48},
    "large": {"blocks": 10, "width": 64},
}
DISCRIMINATORS: Mapping[NetworkSize, dict[str, Any]] = {
    "tiny": {"width": 8, "depth": 2},
    "small": {"width": 20, "depth": 3},
    "medium": {"width": 48, "depth": 3},
    "large": {"width": 64, "depth": 3},
}


@dataclass(frozen=True)
class TrainingImages:
    """Images for training and held-out ones; `paintings` are empty for an effect."""

    photos: Sequence[api.datasets.ImageSample]
    paintings: Sequence[api.datasets.ImageSample]
    holdout_photos: Sequence[api.datasets.ImageSample]
    holdout_paintings: Sequence[api.datasets.ImageSample]


def generator_config(kind: TrainingKind, size: NetworkSize) -> dict[str, Any]:
    """Return the config of the generator for `generators.build_network`.

    Kinds without a discriminator need no instance normalisation: they train faster, and preserve night and day.
    """
    if kind in ("effect", "paintings"):
        return {"network": "pattern", **PATTERN_NETWORKS[size]}
    return {"network": "resnet", "upsampling": "resize", **RESNETS[size]}


def create_training(
    params: StyleTrainingParams,
    images: TrainingImages,
    checkpoint_dir: Path,
    *,
    seed: int,
    device: str,
    start: StartingStyle | None = None,
) -> tuple[StyleTraining, Holdout]:
    """Create a training and the held-out images to evaluate it on.

    The generator begins with the weights of `start`; all others follow from the seed.
    """
    import torch

    torch.manual_seed(seed)
    preset = PRESETS[params.kind].override(params)
    hyper = Hyperparameters(
        steps=preset.steps,
        learning_rate=preset.learning_rate,
        ema=params.ema,
        seed=seed,
        device=device,
    )
    photos = RandomCrops(images.photos, params.size, preset.batch, seed, 0, params.flips)
    holdout_photos = _thin_out(images.holdout_photos)
    if params.kind == "effect":
        pairs = EffectPairs(photos, params.effect)
        targets = pairs.crop_centers(holdout_photos)
        return _create_pix2pix(params, start, pairs, hyper, checkpoint_dir), Holdout(*map(torch.from_numpy, targets))
    paintings = RandomCrops(images.paintings, params.size, preset.batch, seed, 1, params.flips, params.closer)
    holdout = Holdout(
        *(
            torch.from_numpy(np.stack([crop_center(sample, params.size, zoom) for sample in samples]))
            for samples, zoom in ((holdout_photos, 1.0), (_thin_out(images.holdout_paintings), params.closer))
        )
    )
    return _create_unpaired(params, start, photos, paintings, hyper, checkpoint_dir), holdout


@cache
def measure_networks(kind: TrainingKind, network: NetworkSize, size: int, config: str = "") -> api.training.NetworkCost:
    """Return the cost of the networks of a training for one crop of `size` px.

    `config` is that of the generator as JSON, where it is not of the size `network`.
    """
    import torch

    def run(module: nn.Module) -> Tensor:
        output: Tensor = module(torch.zeros(1, 3, size, size))
        return output

    def build_discriminator() -> nn.Module:
        return discriminators.build_patch_discriminator(**DISCRIMINATORS[network])

    generator_settings = json.loads(config) if config else generator_config(kind, network)
    generator = api.training.measure_network(lambda: generators.build_network(generator_settings), run)
    discriminator = api.training.measure_network(build_discriminator, run)
    passes = PASSES[kind]
    return api.training.NetworkCost(
        passes.generators * generator.weights + passes.discriminators * discriminator.weights,
        passes.generator_passes * generator.activations + passes.discriminators * discriminator.activations,
    )


def _create_pix2pix(
    params: StyleTrainingParams,
    start: StartingStyle | None,
    pairs: EffectPairs,
    hyper: Hyperparameters,
    checkpoint_dir: Path,
) -> StyleTraining:
    weight = params.adversarial
    if weight is None:
        weight = ADVERSARIAL_WEIGHTS.get(params.effect, 0.0)
    generator, discriminator = _build_generator(params, start), _build_discriminator(params)
    return pix2pix.Pix2Pix(generator, discriminator, pairs.load_batch, hyper, checkpoint_dir, adversarial_weight=weight)


def _create_unpaired(
    params: StyleTrainingParams,
    start: StartingStyle | None,
    photos: RandomCrops,
    paintings: RandomCrops,
    hyper: Hyperparameters,
    checkpoint_dir: Path,
) -> StyleTraining:
    data = photos.load_batch, paintings.load_batch
    generator = _build_generator(params, start)
    if params.kind == "cyclegan":
        return cyclegan.CycleGan(
            cyclegan.Networks(
                generator, _build_generator(params), _build_discriminator(params), _build_discriminator(params)
            ),
            *data,
            hyper,
            checkpoint_dir,
            size=params.size,
            cycle_weight=params.cycle,
            identity_weight=params.identity,
            pool=params.pool,
        )
    if params.kind == "cut":
        discriminator = _build_discriminator(params)
        return cut.Cut(generator, discriminator, *data, hyper, checkpoint_dir, nce_weight=params.patches)
    return few_paintings.FewPaintings(
        generator, *data, hyper, checkpoint_dir, style_weight=params.style, content_weight=params.content
    )


def _build_generator(params: StyleTrainingParams, start: StartingStyle | None = None) -> nn.Module:
    return start.network if start else generators.build_network(generator_config(params.kind, params.network))


def _build_discriminator(params: StyleTrainingParams) -> nn.Module:
    return discriminators.build_patch_discriminator(**DISCRIMINATORS[params.network])


def _thin_out(samples: Sequence[api.datasets.ImageSample]) -> list[api.datasets.ImageSample]:
    """Return at most `MAX_HOLDOUT` of the samples, evenly spread."""
    return [*samples][:: -(-len(samples) // MAX_HOLDOUT)]
