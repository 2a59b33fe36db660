"""The adversarial training of a generator and a discriminator on a set of images.

The losses are the relativistic one with R1 and R2 penalties (Huang et al., arXiv:2501.05441) or the logistic one with
R1 (Karras et al., arXiv:1912.04958), with lazy regularisation. All randomness follows from the seed and the number of
the step; all other state of a step is in the checkpoint.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio import api

from ..models.gan_model import GanConfig
from ..models.pixels import to_tensor_values
from .augmentation import augment, get_adaptive_augmentation
from .data import TrainingData
from .params import Augmentation, Loss

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from ..networks.layers import Noise
    from ..networks.stylegan2 import Discriminator

PENALTY_INTERVAL = 8
"""Steps between two gradient penalties; their weight is multiplied by it."""
ADAPTATION_INTERVAL = 16
"""Steps between two changes of the augmentation probability."""
WARM_UP = 50
"""Steps in which the learning rate rises to its value."""
NO_CLIPPING = float("inf")
BETAS = (0.0, 0.99)
MEAN_SAMPLES = 2048


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of a training."""

    steps: int
    batch: int = 16
    learning_rate: float = 2e-3
    gamma: float = 0.8
    loss: Loss = "relativistic"
    augmentation: Augmentation = "adaptive"
    augmentation_probability: float = 0.2
    mirror: bool = True
    ema: float = 0.999
    seed: int = 0
    device: str = "cpu"
    mixed_precision: bool = True


class GanTraining(api.training.Training):
    """Trains a generator and a discriminator on `data`."""

    def __init__(
        self,
        generator: Any,
        discriminator: Discriminator,
        data: TrainingData,
        hyper: Hyperparameters,
        checkpoint_dir: Path,
        decoder: nn.Module | None = None,
    ) -> None:
        """Start a training. Parameters of the discriminator that require no gradient stay as they are.

        With a `decoder`, the discriminator also learns features from which its training images can be decoded.
        """
        import torch

        self.generator = place(generator, hyper.device)
        self.discriminator = place(discriminator, hyper.device)
        self.decoder = None if decoder is None else place(decoder, hyper.device)
        self.ema: Any = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.data, self.hyper = data, hyper
        self.augmentation: Any = get_adaptive_augmentation()(hyper.augmentation_probability)
        self.parts = 1
        """Number of parts in which a batch is computed, one after the other, to save memory."""
        self.measures: dict[str, float] = {}
        self._trained = [value for value in discriminator.parameters() if value.requires_grad]
        decoding = {} if self.decoder is None else {"decoder": self.decoder}
        learning = [*self._trained, *(value for network in decoding.values() for value in network.parameters())]
        super().__init__(
            checkpoint_dir,
            networks={
                "generator": self.generator,
                "discriminator": self.discriminator,
                "augmentation": self.augmentation,
                **decoding,
            },
            averages={"ema": (self.ema, self.generator)},
            optimizers={
                "generator_optimizer": torch.optim.Adam(self.generator.parameters(), betas=BETAS),
                "discriminator_optimizer": torch.optim.Adam(learning, betas=BETAS),
            },
            schedule=api.training.LearningRateSchedule(hyper.steps, hyper.learning_rate, "constant", warm_up=WARM_UP),
            ema=hyper.ema,
        )

    @property
    def probability(self) -> float:
        """The probability of augmentation."""
        return 0.0 if self.hyper.augmentation == "off" else self.augmentation.value

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context of mixed precision."""
        return api.training.autocast(self.hyper.device, enabled=self.hyper.mixed_precision)

    def random(self, stream: int) -> torch.Generator:
        """Return the random generator of this step for one use (0..15)."""
        return api.training.step_generator(self.hyper.seed, self.state.step, stream)

    def step(self) -> None:
        """Train the discriminator and then the generator on one batch."""
        images, labels = self.draw_batch(self.data.training.pixels, self.data.training.labels, self.random(0))
        latents = self.draw_latents(len(images), self.random(1))
        parts = [*range(self.parts)]
        size = -(-len(images) // self.parts)
        rows = [slice(part * size, (part + 1) * size) for part in parts]
        share = [(min(len(images), row.stop) - row.start) / len(images) for row in rows]

        def score_part(part: int, compute: Callable[..., Tensor], drawn: Tensor) -> Callable[[], Tensor]:
            row = rows[part]
            label = None if labels is None else labels[row]
            return lambda: share[part] * compute(images[row], drawn[row], label, part)

        losses = [score_part(part, self._discriminator_loss, latents) for part in parts]
        discriminator_loss = self.accumulate_optimizer_step(losses, "discriminator_optimizer", clip=NO_CLIPPING)
        latents = self.draw_latents(len(images), self.random(2))
        self.discriminator.requires_grad_(False)
        try:
            losses = [score_part(part, self._generator_loss, latents) for part in parts]
            generator_loss = self.accumulate_optimizer_step(losses, "generator_optimizer", clip=NO_CLIPPING)
        finally:
            for value in self._trained:
                value.requires_grad_(True)
        self._adapt_augmentation(labels)
        self.finish_step(
            generator_loss,
            {
                "discriminator loss": discriminator_loss,
                **({"augmentation probability": self.probability} if self.hyper.augmentation == "adaptive" else {}),
            },
        )

    def draw_batch(self, pixels: Any, labels: Any, random: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw a batch from arrays of images and labels; returns (images in -1..1, one-hot labels or None)."""
        import torch

        numbers = torch.randint(len(pixels), (self.hyper.batch,), generator=random).numpy()
        flips = (torch.rand(self.hyper.batch, generator=random) < 0.5 * self.hyper.mirror).numpy()
        chosen = pixels[numbers]
        chosen = np.where(flips[:, None, None, None], chosen[:, :, ::-1], chosen)
        images = torch.from_numpy(to_tensor_values(chosen)).to(self.hyper.device)
        images = images.contiguous(memory_format=torch.channels_last)
        if not self.generator.classes:
            return images, None
        return images, self._encode_labels(labels[numbers])

    def _draw_labels(self, count: int, random: torch.Generator) -> Tensor | None:
        """Draw one-hot labels as they are frequent in the training data; None without classes."""
        import torch

        if not self.generator.classes:
            return None
        numbers = self.data.training.labels
        return self._encode_labels(numbers[torch.randint(len(numbers), (count,), generator=random).numpy()])

    def _encode_labels(self, numbers: Any) -> Tensor:
        """Return numbers of classes as one-hot rows."""
        import torch

        return torch.eye(self.generator.classes)[numbers].to(self.hyper.device)

    def draw_latents(self, count: int, random: torch.Generator) -> Tensor:
        """Draw latents [count, latent size]."""
        import torch

        return torch.randn((count, self.generator.latent_size), generator=random).to(self.hyper.device)

    def _discriminator_loss(self, images: Tensor, latents: Tensor, labels: Tensor | None, part: int) -> Tensor:
        import torch
        from torch.nn import functional

        is_penalised = self.state.step % PENALTY_INTERVAL == 0
        with self.autocast():
            with torch.no_grad():
                generated = generate(self.generator, latents, labels, self.random(3 + part % 4))
            random = self.random(7 + part % 4)
            real = augment(images, self.probability, random).detach().requires_grad_(is_penalised)
            fake = augment(generated.float(), self.probability, random).detach()
            fake.requires_grad_(is_penalised and self.hyper.loss == "relativistic")
            features = self.discriminator.extract_features(real)
            real_scores = self.discriminator.score_features(features, labels)
            fake_scores = self.discriminator(fake, labels)
            if self.hyper.loss == "relativistic":
                loss = functional.softplus(fake_scores - real_scores).mean()
            else:
                loss = functional.softplus(-real_scores).mean() + functional.softplus(fake_scores).mean()
            if self.decoder is not None:
                loss = loss + self.decoder.measure_error(features, real.detach())
            if is_penalised:
                scored = [(real_scores, real)]
                scored += [(fake_scores, fake)] if self.hyper.loss == "relativistic" else []
                for scores, inputs in scored:
                    (gradient,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
                    penalty = gradient.float().square().sum(dim=(1, 2, 3)).mean()
                    loss = loss + penalty * (self.hyper.gamma / 2 * PENALTY_INTERVAL)
        return loss

    def _generator_loss(self, images: Tensor, latents: Tensor, labels: Tensor | None, part: int) -> Tensor:
        import torch
        from torch.nn import functional

        with self.autocast():
            generated = generate(self.generator, latents, labels, self.random(3 + part % 4))
            random = self.random(11 + part % 4)
            fake_scores = self.discriminator(augment(generated.float(), self.probability, random), labels)
            if self.hyper.loss == "logistic":
                return functional.softplus(-fake_scores).mean()
            with torch.no_grad():
                real_scores = self.discriminator(augment(images, self.probability, random), labels)
            return functional.softplus(real_scores - fake_scores).mean()

    def _adapt_augmentation(self, labels: Tensor | None) -> None:
        """Compare the scores of held-out and training images, and change the probability of augmentation."""
        import torch

        if self.hyper.augmentation != "adaptive" or self.state.step % ADAPTATION_INTERVAL:
            return
        random = self.random(15)
        with torch.no_grad(), self.autocast():
            scores = []
            for images in (self.data.training, self.data.holdout):
                batch, batch_labels = self.draw_batch(images.pixels, images.labels, random)
                batch = augment(batch, self.probability, random)
                scores.append(self.discriminator(batch, batch_labels).float().mean())
            generated = generate(self.generator, self.draw_latents(self.hyper.batch, random), labels)
            generated = augment(generated.float(), self.probability, random)
            scores.append(self.discriminator(generated, labels).float().mean())
        self.augmentation.adapt(*(score.cpu() for score in scores), self.hyper.batch * ADAPTATION_INTERVAL)

    def reduce_memory(self) -> str:
        """Compute the batch in smaller parts; statistics over the batch are then those of a part."""
        if self.hyper.batch // self.parts < 4:
            return ""
        self.parts *= 2
        return f"each batch is computed in {self.parts} parts, with accumulated gradients."

    def status(self) -> str:
        """Return the last measurements, or the generator's loss before the first ones."""
        shown = [f"{name} {value:.2f}" for name, value in self.measures.items()]
        if self.hyper.augmentation == "adaptive":
            shown.append(f"augmentation {self.probability:.0%}")
        return " · ".join(shown or [f"loss {self.state.loss:.3f}"])

    def update_mean_style(self) -> None:
        """Compute the mean style of the averaged generator, for truncation, and take over statistics of batches."""
        import torch

        for average, value in zip(self.ema.buffers(), self.generator.buffers(), strict=True):
            average.copy_(value)
        if not hasattr(self.ema, "mapping"):
            return
        random = torch.Generator("cpu").manual_seed(self.hyper.seed)
        latents = self.draw_latents(MEAN_SAMPLES, random)
        labels = self._draw_labels(MEAN_SAMPLES, random)
        with torch.no_grad():
            self.ema.mapping.w_avg.copy_(self.ema.mapping(latents, labels).mean(dim=0))

    def describe_generator(self) -> GanConfig:
        """Return what the folder of the averaged generator says about it."""
        if hasattr(self.ema, "mapping"):
            return GanConfig("stylegan2", self.data.class_names)
        return GanConfig("fastgan", options={"tangent": True})

    def generate(self, count: int, seed: int) -> Tensor:
        """Return images [count, c, h, w] of the averaged generator on the CPU; classes occur as in the data."""
        import torch

        random = torch.Generator("cpu").manual_seed(seed)
        latents = self.draw_latents(count, random)
        labels = self._draw_labels(count, random)
        images = []
        with torch.inference_mode():
            for start in range(0, count, self.hyper.batch):
                row = slice(start, start + self.hyper.batch)
                made = generate(self.ema, latents[row], None if labels is None else labels[row])
                images.append(made.float().clamp(-1, 1).cpu())
        return torch.cat(images).clone()


def generate(network: Any, latents: Tensor, labels: Tensor | None, noise: Noise = "const") -> Tensor:
    """Return the images of latents."""
    images: Tensor = network.synthesize(network.map_latents(latents, labels), noise)
    return images


def place(network: Any, device: str) -> Any:
    """Move a network to the device, in training mode, with the memory layout that is fastest there."""
    import torch

    return network.to(device, memory_format=torch.channels_last).train()
