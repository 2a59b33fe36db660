"""Trains a UNet to predict noise or velocity, with an EMA of its weights.

All randomness follows from the seed and the number of the step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from studio import api

from .small_model import Components, Frame

if TYPE_CHECKING:
    from diffusers import DDIMScheduler
    from torch import Tensor

    Batch: TypeAlias = tuple[Tensor, list[str], Sequence[Frame | None]]

MIN_IMAGES_PER_CORE = 16
"""Number of images of a batch for which a thread of its own is worthwhile."""


class Trainer(api.training.Training):
    """Trains those weights of `components` that require gradients.

    `batches(step)` returns latents [n, c, s, s], n captions and n frames. `ema_components` have the averaged weights,
    and share the frozen ones.
    """

    def __init__(
        self,
        components: Components,
        schedule: api.training.LearningRateSchedule,
        batches: Callable[[int], Batch],
        checkpoint_dir: Path,
        *,
        seed: int,
        ema: float = 0.999,
        device: str = "cpu",
        autocast: bool = True,
    ) -> None:
        import torch

        self.components = components
        self.network = components.network.to(device).train()
        components.unet.to(memory_format=torch.channels_last)
        trained = [value for value in self.network.parameters() if value.requires_grad]
        frozen = {id(value): value for value in self.network.parameters() if not value.requires_grad}
        copies = {name: copy.deepcopy(network, dict(frozen)) for name, network in components.networks.items()}
        self.ema_components = replace(components, **copies)
        self.ema = self.ema_components.network.eval().requires_grad_(False)
        self.batches, self.seed, self.device, self.autocast = batches, seed, device, autocast
        super().__init__(
            checkpoint_dir,
            networks={"model": self.network},
            averages={"ema": (self.ema, self.network)},
            optimizers={"optimizer": torch.optim.AdamW(trained, betas=(0.9, 0.99), weight_decay=0.01)},
            schedule=schedule,
            ema=ema,
        )

    def step(self) -> None:
        latents, texts, frames = self.batches(self.state.step)
        noise, timesteps = self._draw_noise(latents)
        count = len(latents)

        def compute_loss(part: slice) -> Tensor:
            values, noises, times = (tensor[part].to(self.device) for tensor in (latents, noise, timesteps))
            scheduler = self.components.scheduler
            with api.training.autocast(self.device, enabled=self.autocast):
                conditioning = self.components.conditioning(texts[part], frames[part], self.device)
                noisy = scheduler.add_noise(values, noises, times)
                output: Tensor = self.components.unet(noisy, times, **conditioning).sample
            error = output.float() - _choose_prediction_target(scheduler, values, noises, times)
            return error.square().mean() * (len(values) / count)

        with self._use_attention_backend():
            losses = [partial(compute_loss, part) for part in _split_batch(count, self.device)]
            loss = self.parallel_optimizer_step(losses)
        self.finish_step(loss)

    def _draw_noise(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return noise for latents, and a timestep for each, spread evenly over the schedule."""
        import torch

        generator = api.training.step_generator(self.seed, self.state.step)
        noise = torch.randn(latents.shape, generator=generator)
        count, total = len(latents), self.components.scheduler.config.num_train_timesteps
        fractions = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        return noise, (fractions * total).long().clamp(max=total - 1)

    def _use_attention_backend(self) -> AbstractContextManager[None]:
        """Use plain attention on a CPU, which is a quarter faster than the fused one for so few tokens."""
        from torch.nn.attention import SDPBackend, sdpa_kernel

        return sdpa_kernel(SDPBackend.MATH) if self.device == "cpu" else nullcontext()


def _split_batch(count: int, device: str) -> list[slice]:
    """Split a batch into one part for each core of a CPU, as long as the parts are large enough."""
    import torch

    parts = max(1, min(torch.get_num_threads(), count // MIN_IMAGES_PER_CORE)) if device == "cpu" else 1
    edges = [count * number // parts for number in range(parts + 1)]
    return [slice(first, end) for first, end in pairwise(edges)]


def _choose_prediction_target(scheduler: DDIMScheduler, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Return what the UNet is trained to predict: velocity, noise, or the denoised latents."""
    match scheduler.config.prediction_type:
        case "v_prediction":
            velocity: Tensor = scheduler.get_velocity(latents, noise, times)
            return velocity
        case "epsilon":
            return noise
        case _:
            return latents
