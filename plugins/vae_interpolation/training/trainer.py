"""Both kinds of autoencoder learn: their losses, a moving average, and the best weights so far.

Everything random follows from the seed and the number of the step.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from studio import api

if TYPE_CHECKING:
    from torch import Tensor, nn

BEST = "best.safetensors"
COOL_DOWN = 0.3
"""The last share of the steps, in which the learning rate falls to zero along a cosine."""
EDGE_WEIGHT = 0.25
SQUARE_WEIGHT = 4.0


class Kind(Protocol):
    """What differs between the two kinds of autoencoder."""

    name: str
    """The kind that `ModelChoice` fields ask for."""

    def posterior(self, model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, log-variance) of the latents of images in -1..1."""

    def decode(self, model: nn.Module, latents: Tensor) -> Tensor: ...

    def save(self, model: nn.Module, folder: Path, latents: Tensor) -> None:
        """Writes config and float16 weights, with a `scaling_factor` that brings such latents to a deviation of 1."""


@dataclass(frozen=True)
class Schedule:
    """Numbers of the training. `kl_weight` is per pixel value, as in the evidence lower bound."""

    steps: int
    learning_rate: float = 1e-3
    kl_weight: float = 1e-3
    kl_warm_up: int = 0
    free_nats: float = 0.0
    ema: float = 0.999
    rate_warm_up: int = 100

    def rate(self, step: int) -> float:
        """Learning rate at a step: a linear warm-up, a plateau, a cosine to zero."""
        if step < self.rate_warm_up:
            return self.learning_rate * (step + 1) / self.rate_warm_up
        cool = max(1, round(self.steps * COOL_DOWN))
        done = (step - (self.steps - cool)) / cool
        return self.learning_rate * (0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0.0, done))))

    def kl(self, step: int) -> float:
        return self.kl_weight * min(1.0, (step + 1) / self.kl_warm_up) if self.kl_warm_up else self.kl_weight


class Trainer(api.training.Training):
    """Trains `model` on `batches(step)`, which gives [n, 3, h, w] in -1..1 for a step."""

    def __init__(
        self,
        model: nn.Module,
        kind: Kind,
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
        self.best = self.held_out = math.inf
        self.picture = 0.0
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
            made = self.kind.decode(self.model, latents).float()
        picture = picture_loss(made, images)
        nats = divergence(mean, logvar, schedule.free_nats)
        self.finish_step(self.optimizer_step(picture + schedule.kl(step) * nats / images[0].numel()))
        self.picture = float(picture.detach())

    def status(self) -> str:
        held_out = f" · held-out {self.held_out:.3f}" if self.held_out < math.inf else ""
        return f"loss {self.picture:.3f}{held_out}"

    def held_out_loss(self, images: Tensor) -> tuple[float, Tensor]:
        """(loss without noise, reconstructions) of the averaged model. Its best weights are kept."""
        made = self.reconstruct(images)
        self.held_out = loss = float(picture_loss(made, images))
        if loss < self.best:
            self.best = loss
            weights = {name: value.cpu().contiguous().clone() for name, value in self.ema.state_dict().items()}
            api.model_files.write_tensors(self.checkpoint_dir / BEST, weights, {"loss": loss, "step": self.state.step})
        return loss, made

    def reconstruct(self, images: Tensor) -> Tensor:
        """The averaged model's reconstructions of [n, 3, h, w], clamped to -1..1, on the CPU."""
        import torch

        made = []
        with torch.inference_mode():
            for part in torch.split(images, 8):
                latents, _ = self.kind.posterior(self.ema, part.to(self.device))
                made.append(self.kind.decode(self.ema, latents).float().clamp(-1, 1).cpu())
        return torch.cat(made)

    def resume(self) -> bool:
        if not super().resume():
            return False
        self.best = self.held_out = self._best_so_far()
        return True

    def take_best(self) -> None:
        """Puts the weights with the lowest held-out loss into the averaged model."""
        try:
            tensors, _ = api.model_files.read_tensors(self.checkpoint_dir / BEST)
        except (OSError, ValueError):
            return
        self.ema.load_state_dict(tensors)

    def _best_so_far(self) -> float:
        try:
            return float(api.model_files.read_tensors(self.checkpoint_dir / BEST)[1]["loss"])
        except (OSError, ValueError, KeyError):
            return math.inf

    def _noise(self, like: Tensor) -> Tensor:
        import torch

        chance = torch.Generator("cpu").manual_seed(self.seed * 1_000_003 + self.state.step)
        return torch.randn(like.shape, generator=chance).to(like.device)


def picture_loss(made: Tensor, images: Tensor) -> Tensor:
    """Absolute, squared and edge differences of [n, 3, h, w] in -1..1, as one mean."""
    difference = made - images
    edges = difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return difference.abs().mean() + SQUARE_WEIGHT * difference.square().mean() + EDGE_WEIGHT * edges


def divergence(mean: Tensor, logvar: Tensor, free_nats: float = 0.0) -> Tensor:
    """Nats from a standard normal per picture, averaged; those below `free_nats` per latent number are free."""
    each = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean(0)
    return each.clamp(min=free_nats).sum()


def psnr(made: Tensor, images: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each of [n, 3, h, w] in -1..1, in dB, after rounding to 8 bits."""
    made, images = (((value.clamp(-1, 1) + 1) * 127.5).round() for value in (made, images))
    error = (made - images).square().mean(dim=(1, 2, 3)).clamp(min=1e-6)
    return 10 * (255**2 / error).log10()
