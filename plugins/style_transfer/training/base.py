"""The base of all style trainings: an averaged generator, its best weights and preview sheets.

All randomness follows from the seed and the number of the step; all other state of a step is in the checkpoint.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from studio import api

from .metrics import Holdout

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SHEET_COLUMNS = 6
MIN_SHEET_WIDTH = 384
"""Width in px below which the preview sheet is enlarged."""
EVALUATION_BATCH = 4


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of a training."""

    steps: int
    learning_rate: float = 2e-4
    ema: float = 0.999
    seed: int = 0
    device: str = "cpu"
    mixed_precision: bool = True

    def build_schedule(self) -> api.training.LearningRateSchedule:
        """Return a learning rate that is constant for half of the steps, then falls linearly to 0."""
        return api.training.LearningRateSchedule(self.steps, self.learning_rate, "linear", decay=0.5)


class StyleTraining(api.training.Training):
    """Trains `generator`. A subclass implements `step` and `score`."""

    best_after: ClassVar[float] = 0.0
    """Fraction of the steps after which the best weights are kept."""

    def __init__(
        self,
        generator: nn.Module,
        hyper: Hyperparameters,
        checkpoint_dir: Path,
        *,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
    ) -> None:
        """Start a training. `generator` and `networks` must be on the device already (see `place_network`)."""
        self.generator, self.hyper = generator, hyper
        self.ema = copy.deepcopy(generator).eval().requires_grad_(False)
        self.best = api.training.BestWeights(self.ema, checkpoint_dir)
        self.scores: dict[str, float] = {}
        self.losses: dict[str, float] = {}
        self.is_checkpointing = False
        # The names are those in the checkpoints of trainings that wait in the queue.
        super().__init__(
            checkpoint_dir,
            networks={"painter": generator, **networks},
            averages={"ema": (self.ema, generator)},
            optimizers=optimizers,
            schedule=hyper.build_schedule(),
            ema=hyper.ema,
        )

    def score(self, holdout: Holdout, generated: Tensor) -> dict[str, float]:
        """Return scores of the images generated from the held-out photos; a lower sum is better."""
        raise NotImplementedError

    def build_preview_rows(self, holdout: Holdout, generated: Tensor) -> list[Tensor]:
        """Return the rows of the preview sheet, [n, 3, size, size] each."""
        return [holdout.photos, generated]

    def reduce_memory(self) -> str:
        """Compute the activations of the generators' layers again; the losses of a batch cannot be split."""
        if self.is_checkpointing:
            return ""
        self.is_checkpointing = True
        for generator in self.list_generators():
            for part in generator.children():
                children = [*part.children()]
                api.training.checkpoint_modules(children or [part])
        return api.training.CHECKPOINTING

    def list_generators(self) -> list[nn.Module]:
        """Return the generators that are trained."""
        return [self.generator]

    def status(self) -> str:
        """Return the last losses and scores as text."""
        losses = [f"{name} {value:.3f}" for name, value in self.losses.items()]
        return " · ".join(losses + [f"held-out {name} {value:.3f}" for name, value in self.scores.items()])

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context of mixed precision."""
        return api.training.autocast(self.hyper.device, enabled=self.hyper.mixed_precision)

    def step_generator(self, stream: int) -> torch.Generator:
        """Return the random generator of this step for one use (0..15)."""
        return api.training.step_generator(self.hyper.seed, self.state.step, stream)

    def to_device(self, values: NDArray[np.float32]) -> Tensor:
        """Copy a batch to the device."""
        import torch

        batch = torch.from_numpy(np.ascontiguousarray(values)).to(self.hyper.device)
        return batch.contiguous(memory_format=torch.channels_last)

    def record(self, loss: float, losses: Mapping[str, float]) -> None:
        """Record the losses of a step and finish it."""
        self.losses = dict(losses)
        self.finish_step(loss, {f"{name} loss": value for name, value in losses.items()})

    def generate(self, images: Tensor, network: nn.Module | None = None) -> Tensor:
        """Run the averaged generator (or another network) on [n, 3, h, w] in -1..1. The result is on the CPU."""
        import torch

        with torch.inference_mode():
            batches = [batch.to(self.hyper.device) for batch in torch.split(images, EVALUATION_BATCH)]
            return torch.cat([(network or self.ema)(batch).float().cpu() for batch in batches]).clamp(-1, 1).clone()

    def evaluate(self, holdout: Holdout) -> Tensor:
        """Score the images generated from the held-out photos, keep the best weights, and return the images."""
        generated = self.generate(holdout.photos)
        self.scores = self.score(holdout, generated)
        total = sum(self.scores.values())
        if self.state.step >= self.best_after * self.steps:
            self.best.update(total, step=self.state.step, measured=self.scores)
            self.report_score("held-out score", total)
        self.record_measures({f"held-out {name}": value for name, value in self.scores.items()})
        return generated

    def load_best(self) -> tuple[int, dict[str, float]]:
        """Load the best weights into the averaged generator. Returns the step they are from and their scores."""
        notes = self.best.restore()
        if notes is None:
            return self.state.step, self.scores
        return int(notes["step"]), dict(notes["measured"])

    def resume(self) -> bool:
        """Resume from the checkpoint, and find the best score. Returns False where there is none that fits."""
        if not super().resume():
            return False
        self.best.resume()
        return True

    def build_preview_sheet(self, holdout: Holdout, generated: Tensor) -> NDArray[np.uint8]:
        """Build a sheet of up to six columns with the photo at the top, [h, w, 3]."""
        import torch

        rows = [torch.cat([*row[:SHEET_COLUMNS]], dim=2) for row in self.build_preview_rows(holdout, generated)]
        sheet = api.images.to_uint8(torch.cat(rows, dim=1))
        scale = -(-MIN_SHEET_WIDTH // sheet.shape[1])
        return np.ascontiguousarray(sheet.repeat(scale, 0).repeat(scale, 1))


def place_network(network: nn.Module, hyper: Hyperparameters) -> nn.Module:
    """Move a network to the device, in training mode."""
    import torch

    return network.to(hyper.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload,no-any-return]


def create_adam(*networks: nn.Module, beta: float = 0.5) -> torch.optim.Optimizer:
    """Create Adam with the betas usual for GANs; the learning rate comes from the hyperparameters."""
    import torch

    values = [value for network in networks for value in network.parameters()]
    return torch.optim.Adam(values, betas=(beta, 0.999))


@contextmanager
def freeze(*networks: nn.Module) -> Iterator[None]:
    """Compute no gradients for the weights of these networks inside the context."""
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)
