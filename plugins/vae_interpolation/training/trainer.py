"""Training of both kinds of autoencoder: losses, a moving average, and the best weights so far.

All randomness follows from the seed and the number of the step.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studio import api

from .metrics import picture_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .vae_kinds import VaeKind

COOL_DOWN = 0.3
"""Last fraction of the steps, in which the learning rate falls to zero along a cosine."""
EVALUATION_BATCH = 8
"""Pictures that are reconstructed at once for an evaluation."""


@dataclass(frozen=True)
class Schedule:
    """Learning rate and weights during a training. `kl_weight` is per pixel value, as in the evidence lower bound."""

    steps: int
    learning_rate: float = 1e-3
    kl_weight: float = 1e-3
    kl_warm_up: int = 0
    free_nats: float = 0.0
    ema: float = 0.999
    rate_warm_up: int = 100

    def rate(self, step: int) -> float:
        """Return the learning rate at a step: a linear warm-up, a plateau, a cosine to zero."""
        if step < self.rate_warm_up:
            return self.learning_rate * (step + 1) / self.rate_warm_up
        cool = max(1, round(self.steps * COOL_DOWN))
        done = (step - (self.steps - cool)) / cool
        return self.learning_rate * (0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0.0, done))))

    def kl(self, step: int) -> float:
        """Return the weight of the KL divergence at a step."""
        return self.kl_weight * min(1.0, (step + 1) / self.kl_warm_up) if self.kl_warm_up else self.kl_weight


class Trainer(api.training.Training):
    """Trains `model` on `batches(step)`, which returns [n, 3, h, w] in -1..1 for a step."""

    def __init__(
        self,
        model: nn.Module,
        kind: VaeKind[Any],
        schedule: Schedule,
        batches: Callable[[int], NDArray[np.float32]],
        checkpoint_dir: Path,
        *,
        seed: int,
        device: str = "cpu",
        half: bool = True,
    ) -> None:
        import torch

        self.model = model.to(device).train()
        self.ema = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.kind, self.schedule, self.batches = kind, schedule, batches
        self.seed, self.device, self.half = seed, device, half
        self.best = api.training.BestWeights(self.ema, checkpoint_dir, score_key="loss")
        self.holdout_loss = math.inf
        self.picture_loss = 0.0
        super().__init__(
            checkpoint_dir,
            networks={"model": self.model},
            averages={"ema": (self.ema, self.model)},
            optimizers={"optimizer": torch.optim.AdamW(self.model.parameters(), betas=(0.9, 0.99), weight_decay=0.0)},
            learning_rate=schedule.rate,
            ema=schedule.ema,
        )

    def step(self) -> None:
        import torch

        step, schedule = self.state.step, self.schedule
        images = torch.from_numpy(np.ascontiguousarray(self.batches(step))).to(self.device)
        with api.training.autocast(self.device, enabled=self.half):
            mean, logvar = (value.float() for value in self.kind.posterior(self.model, images))
            latents = mean + torch.exp(0.5 * logvar) * self._noise(mean)
            reconstruction = self.kind.decode(self.model, latents).float()
        loss = picture_loss(reconstruction, images)
        nats = divergence(mean, logvar, schedule.free_nats)
        self.finish_step(self.optimizer_step(loss + schedule.kl(step) * nats / images[0].numel()))
        self.picture_loss = float(loss.detach())

    def status(self) -> str:
        held_out = f" · held-out {self.holdout_loss:.3f}" if self.holdout_loss < math.inf else ""
        return f"loss {self.picture_loss:.3f}{held_out}"

    def evaluate(self, images: Tensor) -> tuple[float, Tensor]:
        """Return (loss without noise, reconstructions) of the averaged model, and save its weights if they are best."""
        reconstruction = self.reconstruct(images)
        self.holdout_loss = loss = float(picture_loss(reconstruction, images))
        self.best.update(loss, step=self.state.step)
        return loss, reconstruction

    def reconstruct(self, images: Tensor) -> Tensor:
        """Return the averaged model's reconstructions of [n, 3, h, w], clamped to -1..1, on the CPU."""
        import torch

        reconstructions = []
        with torch.inference_mode():
            for part in torch.split(images, EVALUATION_BATCH):
                latents, _ = self.kind.posterior(self.ema, part.to(self.device))
                reconstructions.append(self.kind.decode(self.ema, latents).float().clamp(-1, 1).cpu())
        return torch.cat(reconstructions)

    def resume(self) -> bool:
        if not super().resume():
            return False
        self.best.resume()
        self.holdout_loss = self.best.score
        return True

    def _noise(self, like: Tensor) -> Tensor:
        import torch

        generator = api.training.step_generator(self.seed, self.state.step)
        return torch.randn(like.shape, generator=generator).to(like.device)


def divergence(mean: Tensor, logvar: Tensor, free_nats: float = 0.0) -> Tensor:
    """Return the KL divergence from a standard normal per picture in nats, averaged.

    Values below `free_nats` per latent value count as `free_nats`.
    """
    per_value = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean(0)
    return per_value.clamp(min=free_nats).sum()
