"""Trains a denoiser, and perhaps text encoders, to predict noise or velocity, with an EMA of the weights.

All randomness follows from the seed and the number of the step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio import api

from ..models import placement
from . import frozen_weights
from .frozen_weights import Storage
from .latent_dataset import Batch
from .objective import Objective
from .optimizers import OptimizerName, build_optimizer
from .trainable_model import TrainableModel

if TYPE_CHECKING:
    from torch import Tensor

MIN_IMAGES_PER_CORE = 16
"""Number of images of a batch for which a thread of its own is worthwhile."""
VALIDATION_TIMES = 4
"""Number of timesteps at which the held-out loss of each image is computed."""
VALIDATION_SEED = 20_817
HELD_OUT_LOSS = "held-out loss"


@dataclass(frozen=True)
class TrainerOptions:
    """Settings of the optimizer and the loss."""

    objective: Objective = field(default_factory=Objective)
    optimizer: OptimizerName = "adamw"
    weight_decay: float = 0.01
    accumulation: int = 1
    """Number of batches of one step."""
    checkpointing: bool = False
    """Whether activations are computed again in the backward pass, to save memory."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products and convolutions; the weights are float32 in any case."""
    text_encoder_rate: float = 1.0
    """Factor on the learning rate for text encoders."""
    has_dropout: bool = False
    """Whether the networks draw random numbers."""
    storage: Storage = "full"
    """Form in which frozen weights are stored."""


class Trainer(api.training.Training):
    """Trains those weights of `components` that require gradients.

    `batches(number)` returns a batch; with accumulation a step uses several. `ema_components` have the averaged
    weights, and share the frozen ones. With `ema` 0 there is no average: they are the trained networks.
    """

    def __init__(
        self,
        components: TrainableModel,
        schedule: api.training.LearningRateSchedule,
        batches: Callable[[int], Batch | tuple[Any, ...]],
        checkpoint_dir: Path,
        *,
        seed: int,
        ema: float = 0.999,
        device: str = "cpu",
        options: TrainerOptions | None = None,
        held_out: Callable[[], Iterable[Batch]] = tuple,
    ) -> None:
        import torch

        self.options = options or TrainerOptions()
        self.components = components
        if self.options.storage != "full":
            for network in components.networks.values():
                frozen_weights.store_weights([network], self.options.storage, device)
        self.network = components.network.to(device).train()
        # peft's DoRA of convolutions needs weights that are contiguous.
        if not any("lora_magnitude_vector" in name for name, _ in components.denoiser.named_parameters()):
            components.denoiser.to(memory_format=torch.channels_last)
        self.batches, self.seed, self.device, self.held_out = batches, seed, device, held_out
        self.ema_components = self._copy_trained() if ema else components
        self.ema = self.ema_components.network
        if ema:
            self.ema.eval().requires_grad_(False)
        self.micro_batches, self.is_checkpointing = api.training.MicroBatches(), self.options.checkpointing
        if self.is_checkpointing:
            _enable_checkpointing(components)
        optimizer = build_optimizer(self.options.optimizer, self._group_parameters(), self.options.weight_decay)
        super().__init__(
            checkpoint_dir,
            networks={"model": self.network},
            averages={"ema": (self.ema, self.network)} if ema else {},
            optimizers={"optimizer": optimizer},
            schedule=schedule,
            ema=ema,
        )

    def _copy_trained(self) -> TrainableModel:
        """Copy the components; frozen weights are shared."""
        frozen = {id(value): value for value in self.network.parameters() if not value.requires_grad}
        copies = {name: copy.deepcopy(network, dict(frozen)) for name, network in self.components.networks.items()}
        return self.components.with_networks(copies)

    def _group_parameters(self) -> list[dict[str, Any]]:
        """Group the trained parameters by their learning rate."""
        groups = []
        for network in self.components.networks.values():
            trained = [value for value in network.parameters() if value.requires_grad]
            # Prodigy finds one learning rate for all.
            has_own_rate = network is not self.components.denoiser and self.options.optimizer != "prodigy"
            if trained:
                groups.append(
                    {"params": trained, "rate_factor": self.options.text_encoder_rate if has_own_rate else 1.0}
                )
        return groups

    def step(self) -> None:
        import torch

        count = self.options.accumulation
        numbers = range(self.state.step * count, (self.state.step + 1) * count)
        if self.options.has_dropout:
            torch.manual_seed((self.seed * 1_000_003 + self.state.step) % 2**63)
        losses = [loss for number in numbers for loss in self._plan_losses(number)]
        with self._use_attention_backend():
            if count == 1 and not self.options.has_dropout and self.micro_batches.count == 1:
                loss = self.parallel_optimizer_step(losses)
            else:
                loss = self.accumulate_optimizer_step(losses)
        self.finish_step(loss)

    def _plan_losses(self, number: int) -> list[Callable[[], Tensor]]:
        """Return functions that compute the parts of the loss of a batch."""
        batch = Batch(*self.batches(number))
        noise, timesteps = self._draw_noise(batch.latents, number)
        parts = self.micro_batches.split(len(batch.latents))
        if len(parts) == 1:
            parts = _split_batch(len(batch.latents), self.device)
        scale = 1 / (len(batch.latents) * self.options.accumulation)
        return [partial(self._sum_losses, self.components, batch, noise, timesteps, part, scale) for part in parts]

    def _sum_losses(
        self, components: TrainableModel, batch: Batch, noise: Tensor, timesteps: Tensor, part: slice, scale: float
    ) -> Tensor:
        """Compute the sum of the losses of some images of a batch, times `scale`."""
        values, noises, times = (tensor[part].to(self.device) for tensor in (batch.latents, noise, timesteps))
        with self._autocast():
            output = components.predict(values, noises, times, batch.texts[part], batch.frames[part])
        error = (output.float() - components.choose_target(values, noises, times)).square()
        if batch.weights is not None:
            error = error * batch.weights[part].to(self.device)
        losses = error.mean((1, 2, 3))
        weights = components.weigh(self.options.objective, times)
        return (losses if weights is None else losses * weights).sum() * scale

    def _draw_noise(self, latents: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Return noise for the latents of a batch, and a time for each, spread evenly over the schedule."""
        import torch

        generator = api.training.step_generator(self.seed, number)
        objective, count = self.options.objective, len(latents)
        noise = objective.draw_noise(latents, generator)
        fractions = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        return noise, self.components.draw_times(fractions, objective, _sides_of(latents))

    def reduce_memory(self) -> str:
        """Compute activations again, then the batch in parts, then store frozen weights in less memory."""
        if not self.is_checkpointing:
            self.is_checkpointing = True
            _enable_checkpointing(self.components)
            return api.training.CHECKPOINTING
        return self.micro_batches.increase() or self._store_frozen_weights()

    def _store_frozen_weights(self) -> str:
        """Move frozen weights to main memory, or, where it is the device's own, keep them in 8 bits."""
        storage: Storage = "offload" if placement.has_own_memory(self.device) else "8bit"
        if frozen_weights.is_stored(self.network):
            return ""
        count = 0
        for name, network in self.components.networks.items():
            average = self.ema_components.networks[name]
            copies = [network] if average is network else [network, average]
            count += frozen_weights.store_weights(copies, storage, self.device)
        return f"{frozen_weights.describe_storage(storage)}." if count else ""

    def report_held_out_loss(self) -> None:
        """Compute the loss of the held-out images, with the same noise and timesteps each time, and record it."""
        import torch

        total, count = 0.0, 0
        generator = torch.Generator().manual_seed(VALIDATION_SEED)
        with self.evaluation() as components, torch.no_grad(), self._use_attention_backend():
            for batch in self.held_out():
                images = len(batch.latents)
                for place in range(VALIDATION_TIMES):
                    noise = torch.randn(batch.latents.shape, generator=generator)
                    fractions = torch.full((images,), (place + 0.5) / VALIDATION_TIMES)
                    times = components.draw_times(fractions, self.options.objective, _sides_of(batch.latents))
                    total += float(self._sum_losses(components, batch, noise, times, slice(None), 1.0))
                    count += images
        if count:
            self.report_score(HELD_OUT_LOSS, total / count)

    @contextmanager
    def evaluation(self) -> Iterator[TrainableModel]:
        """Give the averaged networks, or those that are trained, without dropout until the block ends."""
        self.ema.eval()
        try:
            yield self.ema_components
        finally:
            self.network.train()

    def _autocast(self) -> AbstractContextManager[None]:
        import torch

        if self.options.precision == "bfloat16":
            return torch.autocast(torch.device(self.device).type, torch.bfloat16)
        return api.training.autocast(self.device, enabled=self.options.precision == "auto")

    def _use_attention_backend(self) -> AbstractContextManager[None]:
        """Use plain attention on a CPU, which is a quarter faster than the fused one for so few tokens."""
        from torch.nn.attention import SDPBackend, sdpa_kernel

        return sdpa_kernel(SDPBackend.MATH) if self.device == "cpu" else nullcontext()


def _sides_of(latents: Tensor) -> tuple[int, int]:
    height, width = latents.shape[-2:]
    return height, width


def _enable_checkpointing(components: TrainableModel) -> None:
    components.denoiser.enable_gradient_checkpointing()
    for network in components.networks.values():
        if network is not components.denoiser and any(value.requires_grad for value in network.parameters()):
            api.training.enable_checkpointing(network)


def _split_batch(count: int, device: str) -> list[slice]:
    """Split a batch into one part for each core of a CPU, as long as the parts are large enough."""
    import torch

    parts = max(1, min(torch.get_num_threads(), count // MIN_IMAGES_PER_CORE)) if device == "cpu" else 1
    edges = [count * number // parts for number in range(parts + 1)]
    return [slice(first, end) for first, end in pairwise(edges)]
