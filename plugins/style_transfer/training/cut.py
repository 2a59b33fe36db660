"""CUT (Park and others 2020): photos to paintings one way only, each patch staying like its own place in the photo."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models import layers
from . import losses, metrics
from .base import Plan, StyleTraining, adam, frozen, placed
from .cyclegan import Batches

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

PATCHES = 256
FEATURES = 128


class Cut(StyleTraining):
    """Learns from `photos(step)` and `paintings(step)`, [n, 3, size, size] in -1..1 each.

    The `painter` is a ResNet generator, whose own encoder tells patches apart. `nce` weighs that they stay where they
    were, and half of it that a painting is not changed.
    """

    losses = ("painter", "judge", "patches")
    settled = 0.5  # A painter that has learnt little keeps the photo best.

    def __init__(
        self,
        painter: nn.Module,
        judge: nn.Module,
        photos: Batches,
        paintings: Batches,
        plan: Plan,
        checkpoint_dir: Path,
        *,
        nce: float = 1.0,
    ) -> None:
        import torch

        self.painter, self.judge = placed(painter, plan), placed(judge, plan)
        self.photos, self.paintings, self.nce = photos, paintings, nce
        self.heard = heard(self.painter)
        with torch.no_grad():
            seen = features(self.painter, torch.zeros(1, 3, 32, 32, device=plan.device), self.heard)
        self.heads = placed(_heads()([one.shape[1] for one in seen]), plan)
        super().__init__(
            self.painter,
            plan,
            checkpoint_dir,
            networks={"judge": self.judge, "heads": self.heads},
            optimizers={"generator": adam(self.painter, self.heads), "discriminator": adam(self.judge)},
        )

    def step(self) -> None:
        step = self.state.step
        photos, paintings = self.there(self.photos(step)), self.there(self.paintings(step))
        with frozen(self.judge), self.autocast():
            painted = self.painter(photos)
            fooled = losses.lsgan(self.judge(painted), True)
            patches = self.contrast(photos, painted, self.chance(0))
            same = self.contrast(paintings, self.painter(paintings), self.chance(1))
            loss = fooled + self.nce * 0.5 * (patches + same)
        made = self.optimizer_step(loss, "generator")
        with self.autocast():
            real, fake = self.judge(paintings), self.judge(painted.detach())
            loss = 0.5 * (losses.lsgan(real, True) + losses.lsgan(fake, False))
        judged = self.optimizer_step(loss, "discriminator")
        self.told(made, painter=made, judge=judged, patches=float(patches.detach()))

    def contrast(self, photos: Tensor, painted: Tensor, chance: Generator) -> Tensor:
        """The mean of the patch-wise contrastive loss over the layers."""
        keys, queries = (features(self.painter, some, self.heard) for some in (photos, painted))
        total = painted.new_zeros((), dtype=photos.dtype)
        for number, (key, query) in enumerate(zip(keys, queries, strict=True)):
            places = _places(key.shape[2] * key.shape[3], chance).to(key.device)
            key, query = (self.heads.layers[number](_at(one, places)) for one in (key, query))
            total = total + losses.patch_nce(_unit(query), _unit(key))
        return total / len(keys)

    def judged(self, held: metrics.HeldOut, painted: Tensor) -> dict[str, float]:
        return {
            "structure": float(losses.structure(painted, held.photos)),
            "style": metrics.style_distance(painted, held.wanted),
        }


def heard(painter: Any) -> list[int]:
    """Which layers of a ResNet generator tell patches apart: each convolution before the blocks, the first block,
    and the one in the middle."""
    from torch import nn

    blocks = [number for number, layer in enumerate(painter.model) if isinstance(layer, layers.residual())]
    before = [number for number in range(blocks[0]) if isinstance(painter.model[number], nn.Conv2d)]
    return [*before, *sorted({blocks[0], blocks[len(blocks) // 2]})]


def features(painter: Any, images: Tensor, which: list[int]) -> list[Tensor]:
    """What these layers of the generator make of [n, 3, h, w]; the rest is not computed."""
    found = []
    for number in range(which[-1] + 1):
        images = painter.model[number](images)
        if number in which:
            found.append(images)
    return found


def _places(count: int, chance: Generator) -> Tensor:
    import torch

    return torch.randperm(count, generator=chance)[:PATCHES]


def _at(values: Tensor, places: Tensor) -> Tensor:
    return values.flatten(2)[:, :, places].transpose(1, 2)


def _unit(values: Tensor) -> Tensor:
    from torch.nn import functional

    return functional.normalize(values.float(), dim=-1)


@cache
def _heads() -> type[nn.Module]:
    """`Heads(widths)`: two layers for the features of each width, that are learnt with the generator."""
    from torch import nn

    class Heads(nn.Module):
        def __init__(self, widths: list[int]) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                nn.Sequential(nn.Linear(width, FEATURES), nn.ReLU(), nn.Linear(FEATURES, FEATURES)) for width in widths
            )

    return Heads
