"""CUT (Park and others 2020): photos to paintings, with a contrastive loss that keeps each patch in its place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..models import layers
from . import losses, metrics
from .base import Hyperparameters, StyleTraining, create_adam, freeze, place_network
from .cyclegan import LoadBatch

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

PATCHES = 256
FEATURES = 128


class Cut(StyleTraining):
    """Trains a ResNet generator on `photos(step)` and `paintings(step)`, [n, 3, size, size] in -1..1 each.

    The generator's own encoder gives the features of patches. `nce_weight` is the weight of the PatchNCE loss, half of
    it for photos and half for paintings, which the generator is not to change.
    """

    best_after = 0.5  # A generator that has learnt little keeps the photo best.

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        photos: LoadBatch,
        paintings: LoadBatch,
        hyper: Hyperparameters,
        checkpoint_dir: Path,
        *,
        nce_weight: float = 1.0,
    ) -> None:
        import torch

        generator, self.discriminator = place_network(generator, hyper), place_network(discriminator, hyper)
        self.photos, self.paintings, self.nce_weight = photos, paintings, nce_weight
        self.feature_layers = select_feature_layers(generator)
        with torch.no_grad():
            features = extract_features(generator, torch.zeros(1, 3, 32, 32, device=hyper.device), self.feature_layers)
        self.heads = place_network(_get_projection_heads()([values.shape[1] for values in features]), hyper)
        super().__init__(
            generator,
            hyper,
            checkpoint_dir,
            networks={"judge": self.discriminator, "heads": self.heads},
            optimizers={
                "generator": create_adam(generator, self.heads),
                "discriminator": create_adam(self.discriminator),
            },
        )

    def step(self) -> None:
        step = self.state.step
        photos, paintings = self.to_device(self.photos(step)), self.to_device(self.paintings(step))
        with freeze(self.discriminator), self.autocast():
            generated = self.generator(photos)
            adversarial = losses.compute_lsgan_loss(self.discriminator(generated), True)
            nce = self.compute_nce_loss(photos, generated, self.step_generator(0))
            identity = self.compute_nce_loss(paintings, self.generator(paintings), self.step_generator(1))
            loss = adversarial + self.nce_weight * 0.5 * (nce + identity)
        generator_loss = self.optimizer_step(loss, "generator")
        with self.autocast():
            real, fake = self.discriminator(paintings), self.discriminator(generated.detach())
            loss = 0.5 * (losses.compute_lsgan_loss(real, True) + losses.compute_lsgan_loss(fake, False))
        discriminator_loss = self.optimizer_step(loss, "discriminator")
        self.record(
            generator_loss,
            {"generator": generator_loss, "discriminator": discriminator_loss, "PatchNCE": float(nce.detach())},
        )

    def compute_nce_loss(self, photos: Tensor, generated: Tensor, rng: Generator) -> Tensor:
        """Compute the mean PatchNCE loss over the layers."""
        keys, queries = (
            extract_features(self.generator, images, self.feature_layers) for images in (photos, generated)
        )
        total = generated.new_zeros((), dtype=photos.dtype)
        heads = self.heads.get_submodule("layers").children()
        for head, key, query in zip(heads, keys, queries, strict=True):
            positions = _sample_positions(key.shape[2] * key.shape[3], rng).to(key.device)
            key, query = (head(_gather(values, positions)) for values in (key, query))
            total = total + losses.compute_patch_nce_loss(_normalize(query), _normalize(key))
        return total / len(keys)

    def score(self, holdout: metrics.Holdout, generated: Tensor) -> dict[str, float]:
        return {
            "structure": float(losses.compute_structure_loss(generated, holdout.photos)),
            "style": metrics.compute_style_distance(generated, holdout.targets),
        }


def select_feature_layers(generator: nn.Module) -> list[int]:
    """Select the layers of a ResNet generator whose features are compared.

    These are each convolution before the residual blocks, the first block, and the one in the middle.
    """
    from torch import nn

    modules = [*generator.get_submodule("model").children()]
    blocks = [number for number, module in enumerate(modules) if isinstance(module, layers.get_residual_block())]
    convolutions = [number for number in range(blocks[0]) if isinstance(modules[number], nn.Conv2d)]
    return [*convolutions, *sorted({blocks[0], blocks[len(blocks) // 2]})]


def extract_features(generator: nn.Module, images: Tensor, layer_numbers: Sequence[int]) -> list[Tensor]:
    """Return the output of these layers of the generator for [n, 3, h, w]; later layers are not computed."""
    features = []
    for number, module in enumerate(generator.get_submodule("model").children()):
        images = module(images)
        if number in layer_numbers:
            features.append(images)
        if number == layer_numbers[-1]:
            break
    return features


def _sample_positions(count: int, rng: Generator) -> Tensor:
    import torch

    return torch.randperm(count, generator=rng)[:PATCHES]


def _gather(values: Tensor, positions: Tensor) -> Tensor:
    """Return the features [n, positions, channels] at positions of [n, channels, h, w]."""
    return values.flatten(2)[:, :, positions].transpose(1, 2)


def _normalize(values: Tensor) -> Tensor:
    from torch.nn import functional

    return functional.normalize(values.float(), dim=-1)


@cache
def _get_projection_heads() -> type[nn.Module]:
    """Return the class `ProjectionHeads(widths)`: two layers for features of each width."""
    from torch import nn

    class ProjectionHeads(nn.Module):
        def __init__(self, widths: list[int]) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                nn.Sequential(nn.Linear(width, FEATURES), nn.ReLU(), nn.Linear(FEATURES, FEATURES)) for width in widths
            )

    return ProjectionHeads
