"""CycleGAN (Zhu and others 2017): photos to paintings and back, from two folders without pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import losses, metrics
from .base import Hyperparameters, StyleTraining, create_adam, freeze, place_network
from .image_pool import ImagePool

if TYPE_CHECKING:
    from torch import Tensor, nn

POOL = 50
LoadBatch: TypeAlias = Callable[[int], NDArray[np.float32]]
"""Returns the batch of a step, [n, 3, size, size] in -1..1."""


@dataclass(frozen=True)
class Networks:
    """The generators of both directions and their discriminators."""

    photo_to_painting: nn.Module
    painting_to_photo: nn.Module
    painting_discriminator: nn.Module
    photo_discriminator: nn.Module


@dataclass(frozen=True)
class _GeneratorPass:
    paintings: Tensor
    photos: Tensor
    loss: Tensor
    cycle: float
    identity: float


class CycleGan(StyleTraining):
    """Trains on `photos(step)` and `paintings(step)`, [n, 3, size, size] in -1..1 each.

    `cycle_weight` is the weight of the cycle loss. `identity_weight` is that of the identity loss, as a fraction of
    `cycle_weight`; 0 skips it. `pool` is the number of images in each image pool.
    """

    best_after = 0.5  # A generator that has learnt little keeps the photo best.

    def __init__(
        self,
        networks: Networks,
        photos: LoadBatch,
        paintings: LoadBatch,
        hyper: Hyperparameters,
        checkpoint_dir: Path,
        *,
        size: int,
        cycle_weight: float = 10.0,
        identity_weight: float = 0.5,
        pool: int = POOL,
    ) -> None:
        to_painting = place_network(networks.photo_to_painting, hyper)
        self.to_photo = place_network(networks.painting_to_photo, hyper)
        self.painting_discriminator = place_network(networks.painting_discriminator, hyper)
        self.photo_discriminator = place_network(networks.photo_discriminator, hyper)
        self.photos, self.paintings = photos, paintings
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.painting_pool, self.photo_pool = (ImagePool(pool, size, hyper.device) for _ in range(2))
        super().__init__(
            to_painting,
            hyper,
            checkpoint_dir,
            networks={
                "back": self.to_photo,
                "of_paintings": self.painting_discriminator,
                "of_photos": self.photo_discriminator,
                "painted": self.painting_pool.buffers,
                "photographed": self.photo_pool.buffers,
            },
            optimizers={
                "generator": create_adam(to_painting, self.to_photo),
                "discriminator": create_adam(self.painting_discriminator, self.photo_discriminator),
            },
        )

    def step(self) -> None:
        step = self.state.step
        photos, paintings = self.to_device(self.photos(step)), self.to_device(self.paintings(step))
        generated = self._run_generators(photos, paintings)
        generator_loss = self.optimizer_step(generated.loss, "generator")
        discriminator_loss = self.optimizer_step(
            self._compute_discriminator_loss(photos, paintings, generated), "discriminator"
        )
        self.record(
            generator_loss,
            {
                "generator": generator_loss,
                "discriminator": discriminator_loss,
                "cycle": generated.cycle,
                "identity": generated.identity,
            },
        )

    def _run_generators(self, photos: Tensor, paintings: Tensor) -> _GeneratorPass:
        to_painting, to_photo = self.generator, self.to_photo
        with freeze(self.painting_discriminator, self.photo_discriminator), self.autocast():
            fake_paintings, fake_photos = to_painting(photos), to_photo(paintings)
            adversarial = losses.compute_lsgan_loss(self.painting_discriminator(fake_paintings), True)
            adversarial = adversarial + losses.compute_lsgan_loss(self.photo_discriminator(fake_photos), True)
            cycle = losses.compute_l1_loss(to_photo(fake_paintings), photos)
            cycle = cycle + losses.compute_l1_loss(to_painting(fake_photos), paintings)
            loss = adversarial + self.cycle_weight * cycle
            identity = cycle.new_zeros(())
            if self.identity_weight:
                identity = losses.compute_l1_loss(to_painting(paintings), paintings)
                identity = identity + losses.compute_l1_loss(to_photo(photos), photos)
                loss = loss + self.cycle_weight * self.identity_weight * identity
        return _GeneratorPass(
            fake_paintings, fake_photos, loss, float(cycle.detach()) / 2, float(identity.detach()) / 2
        )

    def _compute_discriminator_loss(self, photos: Tensor, paintings: Tensor, generated: _GeneratorPass) -> Tensor:
        fake_paintings = self.painting_pool.query(generated.paintings, self.step_generator(0))
        fake_photos = self.photo_pool.query(generated.photos, self.step_generator(1))
        with self.autocast():
            return 0.5 * (
                losses.compute_lsgan_loss(self.painting_discriminator(paintings), True)
                + losses.compute_lsgan_loss(self.painting_discriminator(fake_paintings), False)
                + losses.compute_lsgan_loss(self.photo_discriminator(photos), True)
                + losses.compute_lsgan_loss(self.photo_discriminator(fake_photos), False)
            )

    def list_generators(self) -> list[nn.Module]:
        return [self.generator, self.to_photo]

    def score(self, holdout: metrics.Holdout, generated: Tensor) -> dict[str, float]:
        reconstructed = self.generate(generated, self.to_photo)
        return {
            "cycle": float(losses.compute_l1_loss(reconstructed, holdout.photos)),
            "style": metrics.compute_style_distance(generated, holdout.targets),
        }

    def build_preview_rows(self, holdout: metrics.Holdout, generated: Tensor) -> list[Tensor]:
        return [holdout.photos, generated, self.generate(generated, self.to_photo)]
