"""Training of both kinds of autoencoder: losses, a moving average, and the best weights so far.

All randomness follows from the seed and the number of the step.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studio import api

from .metrics import picture_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .vae_kinds import VaeKind

RATE_WARM_UP = 100
"""Number of steps in which the learning rate rises to its value."""
COOL_DOWN = 0.3
"""Last fraction of the steps, in which the learning rate falls to zero along a cosine."""
EVALUATION_BATCH = 8
"""Pictures that are reconstructed at once for an evaluation."""


@dataclass(frozen=True)
class KlSchedule:
    """The weight of the KL divergence per pixel value, as in the evidence lower bound, with a linear warm-up."""

    weight: float = 1e-3
    warm_up: int = 0
    """Number of steps."""
    free_nats: float = 0.0
    """Values below this per latent value count as this."""

    def weight_at(self, step: int) -> float:
        """Return the weight at a step."""
        return self.weight * min(1.0, (step + 1) / self.warm_up) if self.warm_up else self.weight


def build_schedule(steps: int, learning_rate: float) -> api.training.LearningRateSchedule:
    """Return a schedule with a short warm-up, a plateau, and a cosine decay over the last steps."""
    return api.training.LearningRateSchedule(steps, learning_rate, warm_up=RATE_WARM_UP, decay=COOL_DOWN)


class Trainer(api.training.Training):
    """Trains `model` on `batches(step)`, which returns [n, 3, h, w] in -1..1 for a step."""

    def __init__(
        self,
        model: nn.Module,
        kind: VaeKind[Any],
        schedule: api.training.LearningRateSchedule,
        batches: Callable[[int], NDArray[np.float32]],
        checkpoint_dir: Path,
        *,
        kl: KlSchedule,
        seed: int,
        ema: float = 0.999,
        device: str = "cpu",
        half: bool = True,
    ) -> None:
        import torch

        self.model = model.to(device).train()
        self.ema = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.kind, self.kl, self.batches = kind, kl, batches
        self.seed, self.device, self.half = seed, device, half
        self.best = api.training.BestWeights(self.ema, checkpoint_dir, score_key="loss")
        self.holdout_loss = math.inf
        self.picture_loss = 0.0
        self.micro_batches, self.is_checkpointing = api.training.MicroBatches(), False
        super().__init__(
            checkpoint_dir,
            networks={"model": self.model},
            averages={"ema": (self.ema, self.model)},
            optimizers={"optimizer": torch.optim.AdamW(self.model.parameters(), betas=(0.9, 0.99), weight_decay=0.0)},
            schedule=schedule,
            ema=ema,
        )

    def step(self) -> None:
        import torch

        step = self.state.step
        images = torch.from_numpy(np.ascontiguousarray(self.batches(step)))
        measures = {"reconstruction loss": 0.0, "KL divergence": 0.0}

        def compute_loss(part: slice) -> Tensor:
            """Return the share of some images in the mean loss of the batch."""
            share = len(images[part]) / len(images)
            own = images[part].to(self.device)
            with api.training.autocast(self.device, enabled=self.half):
                mean, logvar = (value.float() for value in self.kind.posterior(self.model, own))
                noise = self._noise((len(images), *mean.shape[1:]))[part].to(self.device)
                reconstruction = self.kind.decode(self.model, mean + torch.exp(0.5 * logvar) * noise).float()
            loss = picture_loss(reconstruction, own)
            nats = divergence(mean, logvar, self.kl.free_nats)
            measures["reconstruction loss"] += share * float(loss.detach())
            measures["KL divergence"] += share * float(nats.detach())
            return share * (loss + self.kl.weight_at(step) * nats / images[0].numel())

        parts = self.micro_batches.split(len(images))
        if len(parts) == 1:
            total = self.optimizer_step(compute_loss(parts[0]))
        else:
            total = self.accumulate_optimizer_step([partial(compute_loss, part) for part in parts])
        self.picture_loss = measures["reconstruction loss"]
        self.finish_step(total, measures)

    def reduce_memory(self) -> str:
        """Compute activations again, then the batch in parts."""
        enable = getattr(self.model, "enable_gradient_checkpointing", None)
        if enable and not self.is_checkpointing:
            self.is_checkpointing = True
            enable()
            return api.training.CHECKPOINTING
        return self.micro_batches.increase()

    def status(self) -> str:
        held_out = f" · held-out {self.holdout_loss:.3f}" if self.holdout_loss < math.inf else ""
        return f"loss {self.picture_loss:.3f}{held_out}"

    def evaluate(self, images: Tensor) -> tuple[float, Tensor]:
        """Return (loss without noise, reconstructions) of the averaged model, and save its weights if they are best."""
        reconstruction = self.reconstruct(images)
        self.holdout_loss = loss = float(picture_loss(reconstruction, images))
        self.best.update(loss, step=self.state.step)
        self.report_score("held-out loss", loss)
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

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        import torch

        return torch.randn(shape, generator=api.training.step_generator(self.seed, self.state.step))


def divergence(mean: Tensor, logvar: Tensor, free_nats: float = 0.0) -> Tensor:
    """Return the KL divergence from a standard normal per picture in nats, averaged.

    Values below `free_nats` per latent value count as `free_nats`.
    """
    per_value = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean(0)
    return per_value.clamp(min=free_nats).sum()
