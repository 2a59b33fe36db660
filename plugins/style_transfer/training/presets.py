"""From the artist's choices to a training: the networks, numbers and losses of each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ..models import generators
from . import cut, cyclegan, few_paintings, pix2pix
from .base import Plan, StyleTraining
from .data import Crops, Pairs, Sample, middle
from .metrics import HeldOut

if TYPE_CHECKING:
    from torch import nn

    from ..tools.train import StyleTrain

Kind: TypeAlias = Literal["effect", "paintings", "cut", "cyclegan"]
Size: TypeAlias = Literal["small", "medium", "large", "tiny"]
HELD_OUT = 12
"""Pictures that are measured and shown, at most."""


@dataclass(frozen=True)
class Numbers:
    """What suits a kind where the artist says nothing else. With fewer photos or paintings than `photos` and
    `paintings` it can be tried, and the artist is told; `least` paintings are needed."""

    steps: int
    batch: int
    learning_rate: float
    photos: int
    paintings: int = 0
    least: int = 0


NUMBERS: Mapping[str, Numbers] = {
    "effect": Numbers(6000, 4, 1e-3, photos=100),
    "paintings": Numbers(3000, 4, 1e-3, photos=100, paintings=1, least=1),
    "cut": Numbers(10_000, 2, 2e-4, photos=200, paintings=100, least=2),
    "cyclegan": Numbers(10_000, 1, 2e-4, photos=200, paintings=100, least=2),
}

ADVERSARIAL: Mapping[str, float] = {"glass": 1.0, "ink": 0.2, "pencil": 0.2}
"""How much a discriminator counts for effects of which something cannot be foretold."""

GENERATORS: Mapping[str, dict[str, Any]] = {
    "tiny": {"blocks": 2, "width": 8, "separable": True},
    "small": {"blocks": 6, "width": 32, "separable": True},
    "medium": {"blocks": 6, "width": 48},
    "large": {"blocks": 9, "width": 64},
}
PATTERNS: Mapping[str, dict[str, Any]] = {
    "tiny": {"blocks": 1, "width": 8},
    "small": {"blocks": 6, "width": 24},
    "medium": {"blocks": 8, "width": 48},
    "large": {"blocks": 10, "width": 64},
}
JUDGES: Mapping[str, dict[str, Any]] = {
    "tiny": {"width": 8, "depth": 2},
    "small": {"width": 20, "depth": 3},
    "medium": {"width": 48, "depth": 3},
    "large": {"width": 64, "depth": 3},
}


@dataclass(frozen=True)
class Pictures:
    """What is learnt from and what is held out; `paintings` are empty for an effect."""

    photos: Sequence[Sample]
    paintings: Sequence[Sample]
    held_photos: Sequence[Sample]
    held_paintings: Sequence[Sample]


def config(kind: str, size: str) -> dict[str, Any]:
    """Of the network that paints, as `networks.build` takes it. What is learnt without a discriminator goes quicker,
    and keeps night and day apart, without instance normalisation."""
    if kind in ("effect", "paintings"):
        return {"network": "pattern", **PATTERNS[size]}
    return {"network": "resnet", "upsampling": "resize", **GENERATORS[size]}


def begun(
    params: StyleTrain.Params, pictures: Pictures, checkpoint_dir: Path, *, seed: int, device: str
) -> tuple[StyleTraining, HeldOut]:
    """A training that has not begun, and the pictures to measure it on. Its first weights follow from the seed."""
    import torch

    torch.manual_seed(seed)
    numbers = NUMBERS[params.kind]
    plan = Plan(
        steps=params.steps or numbers.steps,
        learning_rate=params.learning_rate or numbers.learning_rate,
        ema=params.ema,
        seed=seed,
        device=device,
    )
    batch = params.batch or numbers.batch
    photos = Crops(pictures.photos, params.size, batch, seed, 0, params.flips)
    held_photos = _some(pictures.held_photos)
    if params.kind == "effect":
        pairs = Pairs(photos, params.effect)
        return _effect(params, pairs, plan, checkpoint_dir), HeldOut(*map(torch.from_numpy, pairs.middles(held_photos)))
    paintings = Crops(pictures.paintings, params.size, batch, seed, 1, params.flips, params.closer)
    seen, wanted = (
        torch.from_numpy(np.stack([middle(one, params.size, closer) for one in some]))
        for some, closer in ((held_photos, 1.0), (_some(pictures.held_paintings), params.closer))
    )
    training: StyleTraining
    if params.kind == "cyclegan":
        parts = cyclegan.Parts(_painter(params), _painter(params), _judge(params), _judge(params))
        more: dict[str, Any] = {"cycle": params.cycle, "identity": params.identity, "pool": params.pool}
        training = cyclegan.CycleGan(
            parts, photos.batch, paintings.batch, plan, checkpoint_dir, size=params.size, **more
        )
    elif params.kind == "cut":
        networks_of = _painter(params), _judge(params)
        training = cut.Cut(*networks_of, photos.batch, paintings.batch, plan, checkpoint_dir, nce=params.patches)
    else:
        weights = {"style": params.style, "content": params.content}
        training = few_paintings.FewPaintings(
            _painter(params), photos.batch, paintings.batch, plan, checkpoint_dir, **weights
        )
    return training, HeldOut(seen, wanted)


def _effect(params: StyleTrain.Params, pairs: Pairs, plan: Plan, checkpoint_dir: Path) -> StyleTraining:
    weight = ADVERSARIAL.get(params.effect, 0.0) if params.adversarial is None else params.adversarial
    return pix2pix.LearntEffect(_painter(params), _judge(params), pairs.batch, plan, checkpoint_dir, adversarial=weight)


def _painter(params: StyleTrain.Params) -> nn.Module:
    return generators.build(config(params.kind, params.network))


def _judge(params: StyleTrain.Params) -> nn.Module:
    return generators.patch_discriminator(**JUDGES[params.network])


def _some(samples: Sequence[Sample]) -> list[Sample]:
    return [*samples][:: -(-len(samples) // HELD_OUT)]
