"""What all generators have in common."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from .layers import Noise


class LatentGenerator(Protocol):
    """A generator of images from latents, by way of styles where it has a mapping network.

    Latents are z, [n, latent_size], from a standard normal distribution. Styles are w+, [n, layer_count, style_size]:
    one w for each layer. A generator without a mapping network has one layer, whose style is z.
    """

    latent_size: int
    style_size: int
    layer_count: int
    """Number of styles of one image; 1 where layers cannot be styled apart."""
    classes: int
    """Number of classes; 0 for an unconditional generator."""
    channels: int
    """3 for RGB, 4 for RGBA."""
    image_size: tuple[int, int]
    """Height and width in px."""

    @property
    def mean_style(self) -> Tensor:
        """The mean style, [1, style_size], or of each class, [classes, style_size]."""

    def map_latents(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the styles of latents. `labels` are weights of the classes, [n, classes], usually one-hot."""

    def synthesize(self, styles: Tensor, noise: Noise = "const") -> Tensor:
        """Return images [n, channels, height, width] in about -1..1."""
