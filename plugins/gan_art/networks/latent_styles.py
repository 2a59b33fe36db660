"""What generators without a mapping network have in common: their one style is the latent, with features of a class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .building import Shapes
from .layers import Noise

NOISE_SEED = 0
"""Seed of the noise where a network draws new noise for each image and the same image is wanted again."""


class LatentGenerator(nn.Module):
    """Base class of generators whose style is the latent. `classes` have features if `embed_labels` returns some."""

    layer_count = 1

    def __init__(
        self, latent_size: int, image_size: tuple[int, int], channels: int, *, classes: int = 0, class_features: int = 0
    ) -> None:
        super().__init__()
        self.latent_size, self.style_size = latent_size, latent_size + class_features
        self.image_size, self.channels, self.classes = image_size, channels, classes

    @property
    def mean_style(self) -> Tensor:
        """The style of the latent 0, [1, style_size], or of each class."""
        device = next(self.parameters()).device
        labels = torch.eye(self.classes, device=device) if self.classes else None
        return self.map_latents(torch.zeros(max(self.classes, 1), self.latent_size, device=device), labels)[:, 0]

    def embed_labels(self, labels: Tensor) -> Tensor:
        """Return the features of classes, [n, style_size - latent_size]."""
        raise NotImplementedError

    def map_latents(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the styles of latents, [n, 1, style_size]."""
        if not self.classes:
            return latents[:, None]
        if labels is None:
            raise ValueError("this network needs labels")
        return torch.cat([latents, self.embed_labels(labels.float())], dim=1)[:, None]


class NoiseSource:
    """Draws the noise of one synthesis: none, the same for the same images, or new from a generator on the CPU."""

    def __init__(self, noise: Noise) -> None:
        self._generator = noise if isinstance(noise, torch.Generator) else None
        self._is_fixed = noise == "const"
        if self._is_fixed:
            self._generator = torch.Generator("cpu").manual_seed(NOISE_SEED)

    def draw(self, like: Tensor) -> Tensor | float:
        """Return normal noise [n, 1, h, w] for images [n, c, h, w]; with fixed noise the same for each image."""
        if self._generator is None:
            return 0.0
        count = 1 if self._is_fixed else like.shape[0]
        return torch.randn(count, 1, *like.shape[2:], generator=self._generator).to(like)


class AddedNoise(nn.Module):
    """Adds normal noise with a learnt strength."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor, noise: NoiseSource) -> Tensor:
        """Map [n, c, h, w] to the same."""
        return images + self.weight * noise.draw(images)


class Blur(nn.Module):
    """Filters with 1-2-1 in both directions; edges are reflected."""

    f: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("f", torch.tensor([1.0, 2.0, 1.0]))

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, c, h, w] to the same."""
        kernel = torch.outer(self.f, self.f)
        kernel = (kernel / kernel.sum())[None, None].expand(images.shape[1], 1, 3, 3)
        padded = functional.pad(images, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(padded, kernel, groups=images.shape[1])


def build_convolution(shapes: Shapes, prefix: str, padding: int | None = None, groups: int = 1) -> nn.Conv2d:
    """Build a convolution of stride 1 with the shape of its weight. Without `padding` the size stays."""
    outputs, inputs, kernel, _ = shapes[f"{prefix}.weight"]
    has_bias = f"{prefix}.bias" in shapes
    padding = kernel // 2 if padding is None else padding
    return nn.Conv2d(inputs * groups, outputs, kernel, padding=padding, groups=groups, bias=has_bias)


def find_numbers(shapes: Shapes, prefix: str) -> list[int]:
    """Return the numbers that follow a prefix in names, as in ``blocks.3.weight``, ascending."""
    parts = (key.removeprefix(prefix).partition(".")[0] for key in shapes if key.startswith(prefix))
    return sorted({int(part) for part in parts if part.isdecimal()})


class NoisySequence(nn.ModuleList):
    """Layers one after the other; those that add noise get it."""

    def forward(self, images: Tensor, noise: NoiseSource) -> Tensor:
        """Map [n, inputs, h, w] to what the last layer gives."""
        for layer in self:
            images = layer(images, noise) if isinstance(layer, AddedNoise) else layer(images)
        return images


def list_input_rows(weight: Tensor) -> list[Tensor]:
    """Return how a transposed convolution [latents, outputs, h, w] of one pixel reads it, as [inputs, latents]."""
    return [weight.flatten(1).T]
