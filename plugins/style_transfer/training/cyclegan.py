"""CycleGAN (Zhu and others 2017): photos to paintings and back, learnt from two folders without pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import losses, metrics
from .base import Plan, StyleTraining, adam, frozen, placed
from .image_pool import Pool

if TYPE_CHECKING:
    from torch import Tensor, nn

POOL = 50
Batches = Callable[[int], NDArray[np.float32]]


@dataclass(frozen=True)
class Parts:
    """Two generators and their two judges. `painter` makes paintings, `back` makes photos."""

    painter: nn.Module
    back: nn.Module
    of_paintings: nn.Module
    of_photos: nn.Module


class CycleGan(StyleTraining):
    """Learns from `photos(step)` and `paintings(step)`, [n, 3, size, size] in -1..1 each.

    `cycle` weighs how well a picture must come back, `identity` (a share of `cycle`) how little a painting may be
    changed by the painter.
    """

    losses = ("painter", "judge", "cycle", "identity")
    settled = 0.5  # A painter that has learnt little keeps the photo best.

    def __init__(
        self,
        parts: Parts,
        photos: Batches,
        paintings: Batches,
        plan: Plan,
        checkpoint_dir: Path,
        *,
        size: int,
        cycle: float = 10.0,
        identity: float = 0.5,
        pool: int = POOL,
    ) -> None:
        self.painter, self.back = placed(parts.painter, plan), placed(parts.back, plan)
        self.of_paintings, self.of_photos = placed(parts.of_paintings, plan), placed(parts.of_photos, plan)
        self.photos, self.paintings = photos, paintings
        self.cycle, self.identity = cycle, identity
        self.pools = tuple(Pool(pool, size, plan.device) for _ in range(2))
        super().__init__(
            self.painter,
            plan,
            checkpoint_dir,
            networks={
                "back": self.back,
                "of_paintings": self.of_paintings,
                "of_photos": self.of_photos,
                "painted": self.pools[0].kept,
                "photographed": self.pools[1].kept,
            },
            optimizers={
                "generator": adam(self.painter, self.back),
                "discriminator": adam(self.of_paintings, self.of_photos),
            },
        )

    def step(self) -> None:
        step = self.state.step
        photos, paintings = self.there(self.photos(step)), self.there(self.paintings(step))
        painted, photographed, loss, cycle, identity = self._generators(photos, paintings)
        made = self.optimizer_step(loss, "generator")
        judged = self.optimizer_step(self._judges(photos, paintings, painted, photographed), "discriminator")
        self.told(made, painter=made, judge=judged, cycle=cycle, identity=identity)

    def _generators(self, photos: Tensor, paintings: Tensor) -> tuple[Tensor, Tensor, Tensor, float, float]:
        with frozen(self.of_paintings, self.of_photos), self.autocast():
            painted, photographed = self.painter(photos), self.back(paintings)
            fooled = losses.lsgan(self.of_paintings(painted), True) + losses.lsgan(self.of_photos(photographed), True)
            cycle = losses.absolute(self.back(painted), photos)
            cycle = cycle + losses.absolute(self.painter(photographed), paintings)
            loss = fooled + self.cycle * cycle
            identity = cycle.new_zeros(())
            if self.identity:
                identity = losses.absolute(self.painter(paintings), paintings)
                identity = identity + losses.absolute(self.back(photos), photos)
                loss = loss + self.cycle * self.identity * identity
        return painted, photographed, loss, float(cycle.detach()) / 2, float(identity.detach()) / 2

    def _judges(self, photos: Tensor, paintings: Tensor, painted: Tensor, photographed: Tensor) -> Tensor:
        old_painted = self.pools[0].exchanged(painted, self.chance(0))
        old_photographed = self.pools[1].exchanged(photographed, self.chance(1))
        with self.autocast():
            return 0.5 * (
                losses.lsgan(self.of_paintings(paintings), True)
                + losses.lsgan(self.of_paintings(old_painted), False)
                + losses.lsgan(self.of_photos(photos), True)
                + losses.lsgan(self.of_photos(old_photographed), False)
            )

    def judged(self, held: metrics.HeldOut, painted: Tensor) -> dict[str, float]:
        back = self.paint(painted, self.back)
        return {
            "cycle": float(losses.absolute(back, held.photos)),
            "style": metrics.style_distance(painted, held.wanted),
        }

    def rows(self, held: metrics.HeldOut, painted: Tensor) -> list[Tensor]:
        return [held.photos, painted, self.paint(painted, self.back)]
