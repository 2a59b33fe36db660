"""The style of a few paintings, learnt from any photos: patches like the paintings', light and dark like the photo's.

No discriminator and no pretrained network: the patches are compared as distributions along random directions, new
ones at each step.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import losses, metrics
from .base import Plan, StyleTraining, adam, placed
from .cyclegan import Batches

if TYPE_CHECKING:
    from torch import Tensor, nn

FILTERS = 48


class FewPaintings(StyleTraining):
    """Learns from `photos(step)` and `paintings(step)`, [n, 3, size, size] in -1..1 each, of the same n.

    `style` and `content` weigh the paintings' patches and the photo's structure.
    """

    losses = ("style", "content")

    def __init__(
        self,
        painter: nn.Module,
        photos: Batches,
        paintings: Batches,
        plan: Plan,
        checkpoint_dir: Path,
        *,
        style: float = 3.0,
        content: float = 1.0,
    ) -> None:
        self.photos, self.paintings = photos, paintings
        self.style, self.content = style, content
        painter = placed(painter, plan)
        super().__init__(painter, plan, checkpoint_dir, networks={}, optimizers={"generator": adam(painter, beta=0.9)})

    def step(self) -> None:
        step = self.state.step
        photos, paintings = self.there(self.photos(step)), self.there(self.paintings(step))
        filters = losses.patch_filters(FILTERS, self.chance(0)).to(photos.device)
        with self.autocast():
            painted = self.painter(photos)
        style = losses.patch_distance(painted, paintings, filters)
        content = losses.structure(painted, photos)
        loss = self.optimizer_step(self.style * style + self.content * content, "generator")
        self.told(loss, style=float(style.detach()), content=float(content.detach()))

    def judged(self, held: metrics.HeldOut, painted: Tensor) -> dict[str, float]:
        return {
            "structure": float(losses.structure(painted, held.photos)),
            "style": metrics.style_distance(painted, held.wanted),
        }
