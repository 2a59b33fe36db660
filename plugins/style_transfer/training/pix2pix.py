"""pix2pix (Isola and others 2017): an effect, from pairs of photos and the effect applied to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import losses, metrics
from .base import Hyperparameters, StyleTraining, create_adam, freeze, place_network

if TYPE_CHECKING:
    from torch import Tensor, nn

LoadPairs: TypeAlias = Callable[[int], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Returns the photos and targets of a step, [n, 3, size, size] in -1..1 each."""
FILTERS = 32
PIXEL_WEIGHT = 10.0
EDGE_WEIGHT = 2.0


class Pix2Pix(StyleTraining):
    """Trains on `pairs(step)`: photos and targets, [n, 3, size, size] in -1..1 each.

    With an `adversarial_weight`, detail that does not follow from the photo (such as the lead of a window) is invented
    rather than blurred: a discriminator and the patch distance are added, and the pixel loss counts less.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        pairs: LoadPairs,
        hyper: Hyperparameters,
        checkpoint_dir: Path,
        *,
        adversarial_weight: float = 0.0,
    ) -> None:
        self.pairs, self.adversarial_weight = pairs, adversarial_weight
        generator, self.discriminator = place_network(generator, hyper), place_network(discriminator, hyper)
        super().__init__(
            generator,
            hyper,
            checkpoint_dir,
            networks={"judge": self.discriminator},
            optimizers={
                "generator": create_adam(generator, beta=0.9),
                "discriminator": create_adam(self.discriminator),
            },
        )

    def step(self) -> None:
        photos, targets = (self.to_device(batch) for batch in self.pairs(self.state.step))
        with self.autocast():
            generated = self.generator(photos)
        pixels = losses.compute_l1_loss(generated, targets)
        reconstruction = PIXEL_WEIGHT * pixels + EDGE_WEIGHT * losses.compute_edge_loss(generated, targets)
        loss = reconstruction / (1 + 4 * self.adversarial_weight)
        parts = {"pixels": float(pixels.detach())}
        if not self.adversarial_weight:
            self.record(self.optimizer_step(loss, "generator"), parts)
            return
        filters = losses.sample_patch_filters(FILTERS, self.step_generator(0)).to(photos.device)
        patches = losses.compute_patch_distance(generated, targets, filters)
        with freeze(self.discriminator), self.autocast():
            adversarial = losses.compute_lsgan_loss(self.discriminator(generated), True)
        generator_loss = self.optimizer_step(loss + self.adversarial_weight * (adversarial + patches), "generator")
        with self.autocast():
            real, fake = self.discriminator(targets), self.discriminator(generated.detach())
            loss = 0.5 * (losses.compute_lsgan_loss(real, True) + losses.compute_lsgan_loss(fake, False))
        parts["patches"] = float(patches.detach())
        parts["discriminator"] = self.optimizer_step(loss, "discriminator")
        self.record(generator_loss, parts)

    def score(self, holdout: metrics.Holdout, generated: Tensor) -> dict[str, float]:
        return {
            "pixels": float(losses.compute_l1_loss(generated, holdout.targets)),
            "style": metrics.compute_style_distance(generated, holdout.targets),
        }

    def build_preview_rows(self, holdout: metrics.Holdout, generated: Tensor) -> list[Tensor]:
        return [holdout.photos, generated, holdout.targets]
