"""An effect, learnt from photos and what the effect makes of them (pix2pix: Isola and others 2017)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import losses, metrics
from .base import Plan, StyleTraining, adam, frozen, placed

if TYPE_CHECKING:
    from torch import Tensor, nn

Pairs = Callable[[int], tuple[NDArray[np.float32], NDArray[np.float32]]]
FILTERS = 32
PIXELS = 10.0
EDGES = 2.0


class LearntEffect(StyleTraining):
    """Learns from `pairs(step)`: photos and targets, [n, 3, size, size] in -1..1 each.

    With a weight for the `judge`, what cannot be foretold (where the lead of a window runs) is made up, too, and not
    left blurred: the judge and the distance of patches see to it, and single pixels count less.
    """

    losses = ("pixels", "patches", "judge")

    def __init__(
        self,
        painter: nn.Module,
        judge: nn.Module,
        pairs: Pairs,
        plan: Plan,
        checkpoint_dir: Path,
        *,
        adversarial: float = 0.0,
    ) -> None:
        self.pairs, self.adversarial = pairs, adversarial
        painter, self.judge = placed(painter, plan), placed(judge, plan)
        super().__init__(
            painter,
            plan,
            checkpoint_dir,
            networks={"judge": self.judge},
            optimizers={"generator": adam(painter, beta=0.9), "discriminator": adam(self.judge)},
        )

    def step(self) -> None:
        photos, targets = (self.there(some) for some in self.pairs(self.state.step))
        with self.autocast():
            painted = self.painter(photos)
        pixels = losses.absolute(painted, targets)
        exact = PIXELS * pixels + EDGES * losses.edges(painted, targets)
        loss = exact / (1 + 4 * self.adversarial)
        said = {"pixels": float(pixels.detach())}
        if not self.adversarial:
            self.told(self.optimizer_step(loss, "generator"), **said)
            return
        filters = losses.patch_filters(FILTERS, self.chance(0)).to(photos.device)
        patches = losses.patch_distance(painted, targets, filters)
        with frozen(self.judge), self.autocast():
            fooled = losses.lsgan(self.judge(painted), True)
        made = self.optimizer_step(loss + self.adversarial * (fooled + patches), "generator")
        with self.autocast():
            real, fake = self.judge(targets), self.judge(painted.detach())
            loss = 0.5 * (losses.lsgan(real, True) + losses.lsgan(fake, False))
        said |= {"patches": float(patches.detach()), "judge": self.optimizer_step(loss, "discriminator")}
        self.told(made, **said)

    def judged(self, held: metrics.HeldOut, painted: Tensor) -> dict[str, float]:
        return {
            "pixels": float(losses.absolute(painted, held.wanted)),
            "style": metrics.style_distance(painted, held.wanted),
        }

    def rows(self, held: metrics.HeldOut, painted: Tensor) -> list[Tensor]:
        return [held.photos, painted, held.wanted]
