"""Learns the style of a few paintings from any photos: patches like the paintings', light and dark like the photo's.

It has no discriminator and no pretrained network: patches are compared as distributions along random directions, new
ones at each step.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import losses, metrics
from .base import Hyperparameters, StyleTraining, create_adam, place_network
from .cyclegan import LoadBatch

if TYPE_CHECKING:
    from torch import Tensor, nn

FILTERS = 48


class FewPaintings(StyleTraining):
    """Trains on `photos(step)` and `paintings(step)`, [n, 3, size, size] in -1..1 each, of the same n.

    `style_weight` is the weight of the patch distance to the paintings, `content_weight` that of the structure loss.
    """

    def __init__(
        self,
        generator: nn.Module,
        photos: LoadBatch,
        paintings: LoadBatch,
        hyper: Hyperparameters,
        checkpoint_dir: Path,
        *,
        style_weight: float = 3.0,
        content_weight: float = 1.0,
    ) -> None:
        self.photos, self.paintings = photos, paintings
        self.style_weight, self.content_weight = style_weight, content_weight
        generator = place_network(generator, hyper)
        optimizers = {"generator": create_adam(generator, beta=0.9)}
        super().__init__(generator, hyper, checkpoint_dir, networks={}, optimizers=optimizers)

    def step(self) -> None:
        step = self.state.step
        photos, paintings = self.to_device(self.photos(step)), self.to_device(self.paintings(step))
        filters = losses.sample_patch_filters(FILTERS, self.step_generator(0)).to(photos.device)
        with self.autocast():
            generated = self.generator(photos)
        style = losses.compute_patch_distance(generated, paintings, filters)
        content = losses.compute_structure_loss(generated, photos)
        loss = self.optimizer_step(self.style_weight * style + self.content_weight * content, "generator")
        self.record(loss, {"style": float(style.detach()), "content": float(content.detach())})

    def score(self, holdout: metrics.Holdout, generated: Tensor) -> dict[str, float]:
        return {
            "structure": float(losses.compute_structure_loss(generated, holdout.photos)),
            "style": metrics.compute_style_distance(generated, holdout.targets),
        }
