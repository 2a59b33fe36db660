"""What all kinds of style training share: an averaged generator, its best weights, a strip of pictures, loss curves.

Everything random follows from the seed and the number of the step; what else a step depends on is in the checkpoint.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from studio import api

from .loss_curves import Curves
from .metrics import HeldOut

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

BEST = "best.safetensors"
SHOWN = 6
NARROWEST = 384
"""Pixels across below which the strip is shown larger, so that the losses can be read."""
AT_ONCE = 4
"""Held-out pictures that are painted together."""


@dataclass(frozen=True)
class Plan:
    """Numbers of a training. The learning rate holds for the first half of the steps and falls to zero in a line."""

    steps: int
    learning_rate: float = 2e-4
    ema: float = 0.999
    seed: int = 0
    device: str = "cpu"
    half: bool = True

    def rate(self, step: int) -> float:
        return self.learning_rate * min(1.0, 2 * (1 - step / max(1, self.steps)))


class StyleTraining(api.training.Training):
    """Teaches `painter`. A subclass writes `step` and `judged`, and names its losses."""

    losses: ClassVar[tuple[str, ...]]
    settled: ClassVar[float] = 0.0
    """The share of the steps from which on the best weights are looked for."""

    def __init__(
        self,
        painter: nn.Module,
        plan: Plan,
        checkpoint_dir: Path,
        *,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
    ) -> None:
        """`painter` and `networks` are on the plan's device already (see `placed`)."""
        self.painter, self.plan = painter, plan
        self.ema = copy.deepcopy(painter).eval().requires_grad_(False)
        self.curves = Curves(self.losses, plan.steps)
        self.best = math.inf
        self.measured: dict[str, float] = {}
        self.said: dict[str, float] = {}
        super().__init__(
            checkpoint_dir,
            networks={"painter": painter, "curves": self.curves.kept, **networks},
            averages={"ema": (self.ema, painter)},
            optimizers=optimizers,
            learning_rate=plan.rate,
            ema=plan.ema,
        )

    def judged(self, held: HeldOut, painted: Tensor) -> dict[str, float]:
        """Measures of how good the painted held-out photos are; their sum is less for better ones."""
        raise NotImplementedError

    def rows(self, held: HeldOut, painted: Tensor) -> list[Tensor]:
        """What to show: rows of pictures, [n, 3, size, size] each."""
        return [held.photos, painted]

    def status(self) -> str:
        said = [f"{name} {value:.3f}" for name, value in self.said.items()]
        return " · ".join(said + [f"held-out {name} {value:.3f}" for name, value in self.measured.items()])

    def autocast(self) -> Any:
        return api.training.autocast(self.plan.device, enabled=self.plan.half)

    def chance(self, stream: int) -> torch.Generator:
        """Randomness for one use (0..15) in this step."""
        import torch

        number = (self.plan.seed * 1_000_003 + self.state.step) * 16 + stream
        return torch.Generator("cpu").manual_seed(number % 2**63)

    def there(self, values: NDArray[np.float32]) -> Tensor:
        import torch

        found = torch.from_numpy(np.ascontiguousarray(values)).to(self.plan.device)
        return found.contiguous(memory_format=torch.channels_last)

    def told(self, loss: float, **values: float) -> None:
        """Ends a step: its losses go into the curves."""
        self.said = values
        self.curves.add(self.state.step, values)
        self.finish_step(loss)

    def paint(self, images: Tensor, network: nn.Module | None = None) -> Tensor:
        """What the averaged generator (or another network) makes of [n, 3, h, w] in -1..1, on the CPU."""
        import torch

        with torch.inference_mode():
            parts = [part.to(self.plan.device) for part in torch.split(images, AT_ONCE)]
            return torch.cat([(network or self.ema)(part).float().cpu() for part in parts]).clamp(-1, 1).clone()

    def measure(self, held: HeldOut) -> Tensor:
        """Paints the held-out photos and judges them; the best weights are kept. Returns the painted ones."""
        painted = self.paint(held.photos)
        self.measured = self.judged(held, painted)
        score = sum(self.measured.values())
        if self.state.step >= self.settled * self.plan.steps and score < self.best:
            self.best = score
            weights = {name: value.cpu().contiguous().clone() for name, value in self.ema.state_dict().items()}
            notes = {"score": score, "step": self.state.step, "measured": self.measured}
            api.model_files.write_tensors(self.checkpoint_dir / BEST, weights, notes)
        return painted

    def take_best(self) -> tuple[int, dict[str, float]]:
        """Puts the best weights into the averaged generator; (the step they are from, what was measured then)."""
        try:
            tensors, notes = api.model_files.read_tensors(self.checkpoint_dir / BEST)
            self.ema.load_state_dict(tensors)
            return int(notes["step"]), dict(notes["measured"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            return self.state.step, self.measured

    def resume(self) -> bool:
        if not super().resume():
            return False
        try:
            self.best = float(api.model_files.read_tensors(self.checkpoint_dir / BEST)[1]["score"])
        except (OSError, ValueError, KeyError, TypeError):
            self.best = math.inf
        return True

    def strip(self, held: HeldOut, painted: Tensor) -> NDArray[np.uint8]:
        """Up to six pictures side by side, from the photo downwards, over the loss curves, [h, w, 3]."""
        import torch

        rows = [torch.cat([*row[:SHOWN]], dim=2) for row in self.rows(held, painted)]
        pictures = ((torch.cat(rows, dim=1).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        strip = pictures.permute(1, 2, 0).cpu().numpy()
        larger = -(-NARROWEST // strip.shape[1])
        strip = strip.repeat(larger, 0).repeat(larger, 1)
        return np.ascontiguousarray(np.concatenate([strip, self.curves.plot(strip.shape[1])]))


def placed(network: nn.Module, plan: Plan) -> nn.Module:
    """The network on the plan's device, ready to learn."""
    import torch

    return network.to(plan.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]


def adam(*networks: nn.Module, beta: float = 0.5) -> torch.optim.Optimizer:
    """Adam as GANs want it; the learning rate comes from the plan."""
    import torch

    values = [value for network in networks for value in network.parameters()]
    return torch.optim.Adam(values, betas=(beta, 0.999))


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Nothing is learnt by these networks meanwhile."""
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)
