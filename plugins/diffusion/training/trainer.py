"""A denoiser learns: the squared error of what it foretells, and a moving average of its weights.

Everything random follows from the seed and the number of the step.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import small_model

if TYPE_CHECKING:
    from torch import Tensor


MIN_IMAGES_PER_CORE = 16
"""Pictures of a batch that are worth a core of their own."""


@dataclass(frozen=True)
class LearningRateSchedule:
    """The learning rate warms up in a line, and falls to zero along a cosine."""

    steps: int
    learning_rate: float = 1e-3
    ema: float = 0.999
    warm_up: int = 200

    def rate(self, step: int) -> float:
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.learning_rate * (0.5 + 0.5 * math.cos(math.pi * min(1.0, done)))


class Trainer(api.training.Training):
    """Trains what of `parts.network` asks for gradients on `batches(step)`: latents [n, c, s, s], n captions
    and n frames.

    `parts` learn; `averaged` follow, and share what is frozen. `checkpoint_dir` is the folder of the checkpoint, and
    `resume()` goes on from one if it is there.
    """

    def __init__(
        self,
        parts: small_model.Components,
        schedule: LearningRateSchedule,
        batches: Callable[[int], tuple[Tensor, list[str], Sequence[small_model.Frame | None]]],
        checkpoint_dir: Path,
        *,
        seed: int,
        device: str = "cpu",
        half: bool = True,
    ) -> None:
        import torch

        self.parts = parts
        self.network = parts.network.to(device).train()
        parts.unet.to(memory_format=torch.channels_last)
        learning = [value for value in self.network.parameters() if value.requires_grad]
        frozen = {id(value): value for value in self.network.parameters() if not value.requires_grad}
        copies = {name: copy.deepcopy(part, dict(frozen)) for name, part in parts.networks.items()}
        self.averaged = replace(parts, **copies)
        self.ema = self.averaged.network.eval().requires_grad_(False)
        self.batches, self.seed, self.device, self.half = batches, seed, device, half
        super().__init__(
            checkpoint_dir,
            networks={"model": self.network},
            averages={"ema": (self.ema, self.network)},
            optimizers={"optimizer": torch.optim.AdamW(learning, betas=(0.9, 0.99), weight_decay=0.01)},
            learning_rate=schedule.rate,
            ema=schedule.ema,
        )

    def step(self) -> None:
        latents, texts, frames = self.batches(self.state.step)
        noise, times = self._chance(latents)
        count = len(latents)

        def loss(part: slice) -> Tensor:
            some, hidden, moments = (value[part].to(self.device) for value in (latents, noise, times))
            scheduler = self.parts.scheduler
            with api.training.autocast(self.device, enabled=self.half):
                told = self.parts.told(texts[part], frames[part], self.device)
                made = self.parts.unet(scheduler.add_noise(some, hidden, moments), moments, **told).sample
            wrong = made.float() - _wanted(scheduler, some, hidden, moments)
            return wrong.square().mean() * (len(some) / count)

        with self._attention():
            found = self.parallel_optimizer_step([partial(loss, part) for part in _parts(count, self.device)])
        self.finish_step(found)

    def _chance(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Noise, and a time for each picture, spread evenly over the schedule."""
        import torch

        chance = torch.Generator("cpu").manual_seed(self.seed * 1_000_003 + self.state.step)
        noise = torch.randn(latents.shape, generator=chance)
        count, most = len(latents), self.parts.scheduler.config.num_train_timesteps
        even = (torch.arange(count) + torch.rand(count, generator=chance)) / count
        return noise, (even * most).long().clamp(max=most - 1)

    def _attention(self) -> AbstractContextManager[None]:
        """On a processor, plain attention is a quarter quicker than the fused one for so few tokens."""
        from torch.nn.attention import SDPBackend, sdpa_kernel

        return sdpa_kernel(SDPBackend.MATH) if self.device == "cpu" else nullcontext()


def _parts(count: int, device: str) -> list[slice]:
    """Of a batch: one for each core of a processor, where each has enough to do."""
    import torch

    parts = max(1, min(torch.get_num_threads(), count // MIN_IMAGES_PER_CORE)) if device == "cpu" else 1
    edges = [count * number // parts for number in range(parts + 1)]
    return [slice(first, end) for first, end in pairwise(edges)]


def _wanted(scheduler: Any, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """What a UNet of this schedule foretells: the velocity, the noise, or the picture."""
    match scheduler.config.prediction_type:
        case "v_prediction":
            velocity: Tensor = scheduler.get_velocity(latents, noise, times)
            return velocity
        case "epsilon":
            return noise
        case _:
            return latents
