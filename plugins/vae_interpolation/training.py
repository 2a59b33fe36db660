"""The training loop of both kinds: losses, a moving average, checkpoints, and a way back from NaN.

Everything random follows from the seed and the number of the step, so a run that was killed
and went on from its checkpoint ends with the same weights as one that was not.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from studio import api

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
COOL_DOWN = 0.3
"""The last share of the steps, in which the learning rate falls to zero along a cosine."""
MOST_REWINDS = 3
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


@dataclass
class Standing:
    """Where a training stands. `rate_scale` is halved at each rewind."""

    step: int = 0
    rewinds: int = 0
    rate_scale: float = 1.0
    seconds: float = 0.0


class NotFiniteError(ArithmeticError):
    """A loss or a gradient is NaN or infinite."""


class Trainer:
    """Trains `model` on `batches(step)`, which gives [n, 3, h, w] in -1..1 for a step.

    `keep` is the folder of the checkpoint. `resume()` goes on from one if it is there.
    """

    def __init__(
        self,
        model: nn.Module,
        kind: Kind,
        schedule: Schedule,
        batches: Callable[[int], NDArray[np.float32]],
        keep: Path,
        *,
        seed: int,
        device: str = "cpu",
        half: bool = True,
    ) -> None:
        import torch

        self.model = model.to(device).train()
        self.ema = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.kind, self.schedule, self.batches, self.keep = kind, schedule, batches, keep
        self.seed, self.device, self.half = seed, device, half
        self.optimizer = torch.optim.AdamW(self.model.parameters(), betas=(0.9, 0.99), weight_decay=0.0)
        self.standing = Standing()
        self.best = math.inf

    def step(self) -> dict[str, float]:
        """One step. Returns the losses. Raises NotFiniteError, leaving the weights as they were."""
        import torch

        standing, schedule = self.standing, self.schedule
        images = torch.from_numpy(np.ascontiguousarray(self.batches(standing.step))).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.rate(standing.step) * standing.rate_scale
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.half):
            mean, logvar = (value.float() for value in self.kind.posterior(self.model, images))
            latents = mean + torch.exp(0.5 * logvar) * self._noise(mean)
            made = self.kind.decode(self.model, latents).float()
        picture = picture_loss(made, images)
        nats = divergence(mean, logvar, schedule.free_nats)
        loss = picture + schedule.kl(standing.step) * nats / images[0].numel()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if not math.isfinite(float(loss.detach()) + float(norm)):
            raise NotFiniteError
        self.optimizer.step()
        standing.step += 1
        self._follow()
        return {"loss": float(loss.detach()), "picture": float(picture.detach()), "nats": float(nats.detach())}

    def rewind(self) -> None:
        """Back to the last checkpoint at half the learning rate.

        Raises StudioError after the third time in one training.
        """
        scale, rewinds = self.standing.rate_scale, self.standing.rewinds
        if rewinds >= MOST_REWINDS:
            raise api.StudioError(
                f"The training broke down {rewinds + 1} times and was stopped at step {self.standing.step:,}.",
                "Lower the learning rate, and look for odd pictures in the folder.",
            )
        if not self.resume():
            raise api.StudioError("The training broke down at its first steps.", "Lower the learning rate.")
        self.standing.rate_scale, self.standing.rewinds = scale / 2, rewinds + 1
        self.save()

    def held_out_loss(self, images: Tensor) -> tuple[float, Tensor]:
        """(loss without noise, reconstructions) of the averaged model. Its best weights are kept."""
        made = self.reconstruct(images)
        loss = float(picture_loss(made, images))
        if loss < self.best:
            self.best = loss
            _write(self.keep / BEST, self._named("", self.ema.state_dict()), {"loss": loss, "step": self.standing.step})
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

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all. Raises NotFiniteError when the weights are not fit to keep."""
        if not all(bool(value.isfinite().all()) for value in self.model.parameters()):
            raise NotFiniteError
        tensors = self._named("model.", self.model.state_dict()) | self._named("ema.", self.ema.state_dict())
        for number, slots in self.optimizer.state_dict()["state"].items():
            tensors |= self._named(f"optimizer.{number}.", slots)
        _write(self.keep / CHECKPOINT, tensors, asdict(self.standing))

    def resume(self) -> bool:
        """Goes on from the checkpoint in `keep`. False, with nothing changed, where there is none that fits."""
        try:
            tensors, notes = _read(self.keep / CHECKPOINT)
            standing = Standing(**notes)
            parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimizer": {}}
            for name, value in tensors.items():
                part, _, rest = name.partition(".")
                parts[part][rest] = value
            if {name: value.shape for name, value in parts["model"].items()} != {
                name: value.shape for name, value in self.model.state_dict().items()
            }:
                return False
        except (OSError, ValueError, TypeError, KeyError):
            return False
        self.model.load_state_dict(parts["model"])
        self.ema.load_state_dict(parts["ema"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimizer"].items():
            number, _, slot = name.partition(".")
            state.setdefault(int(number), {})[slot] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.standing = standing
        self.best = self._best_so_far()
        return True

    def take_best(self) -> None:
        """Puts the weights with the lowest held-out loss into the averaged model."""
        try:
            tensors, _ = _read(self.keep / BEST)
        except (OSError, ValueError):
            return
        self.ema.load_state_dict(tensors)

    def _best_so_far(self) -> float:
        try:
            return float(_read(self.keep / BEST)[1]["loss"])
        except (OSError, ValueError, KeyError):
            return math.inf

    def _noise(self, like: Tensor) -> Tensor:
        import torch

        chance = torch.Generator("cpu").manual_seed(self.seed * 1_000_003 + self.standing.step)
        return torch.randn(like.shape, generator=chance).to(like.device)

    def _follow(self) -> None:
        import torch

        step = self.standing.step
        decay = min(self.schedule.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), 1 - decay)

    @staticmethod
    def _named(prefix: str, tensors: dict[str, Any]) -> dict[str, Tensor]:
        return {prefix + name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


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


def _write(path: Path, tensors: dict[str, torch.Tensor], notes: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    with api.written_whole(path) as part:
        save_file(tensors, part, metadata={"notes": json.dumps(notes)})


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Raises OSError or ValueError when the file is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return tensors, json.loads((file.metadata() or {}).get("notes", "{}"))
    except SafetensorError as error:
        raise ValueError(f"{path.name} is damaged") from error
