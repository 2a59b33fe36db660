"""The generator of BigGAN-deep, as pytorch-pretrained-BigGAN saves it.

Written from the paper (Brock et al. 2019, arXiv:1809.11096) and the layout of its state dicts, with spectral
normalisation folded in: ``embeddings.weight``, ``generator.gen_z.weight``, ``generator.layers.0.conv_1.weight``.

The statistics of its batch normalisation are stored for each truncation from 0 to 1. Latents are from a normal
distribution that is cut at ±2 and multiplied by the truncation, which their spread therefore tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .building import Shapes, build_network
from .latent_styles import LatentGenerator, build_convolution, find_numbers
from .layers import Noise

BOUND = 2.0
"""Largest absolute value of a latent without truncation."""
SPREAD = 0.8796
"""Standard deviation of a normal distribution that is cut at ±2."""
EPS = 1e-4
"""Added to the variances; all published models have the same."""
COLOURS = 3


class BatchNorm(nn.Module):
    """Normalises by stored statistics, and scales by features of the class where it has any."""

    running_means: Tensor
    running_vars: Tensor

    def __init__(self, shapes: Shapes, prefix: str) -> None:
        super().__init__()
        for name in ("running_means", "running_vars"):
            self.register_buffer(name, torch.zeros(shapes[f"{prefix}.{name}"]))
        self.is_conditional = f"{prefix}.scale.weight" in shapes
        if self.is_conditional:
            width, features = shapes[f"{prefix}.scale.weight"]
            self.scale = nn.Linear(features, width, bias=False)
            self.offset = nn.Linear(features, width, bias=False)
        else:
            width = shapes[f"{prefix}.weight"][0]
            self.weight = nn.Parameter(torch.ones(width))
            self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, images: Tensor, styles: Tensor, truncation: Tensor) -> Tensor:
        """Map [n, width, h, w] with styles [n, style size] and truncations [n] in 0..1."""
        rows = (truncation * (len(self.running_means) - 1)).round().long()
        means, variances = self.running_means[rows], self.running_vars[rows]
        scale = 1 + self.scale(styles) if self.is_conditional else self.weight
        offset = self.offset(styles) if self.is_conditional else self.bias
        factor = scale * (variances + EPS).rsqrt()
        return images * factor[:, :, None, None] + (offset - means * factor)[:, :, None, None]


class Block(nn.Module):
    """A bottleneck of four convolutions; every second one doubles the size."""

    def __init__(self, shapes: Shapes, prefix: str, *, up: bool) -> None:
        super().__init__()
        self.up = up
        for number in range(4):
            self.add_module(f"bn_{number}", BatchNorm(shapes, f"{prefix}.bn_{number}"))
            self.add_module(f"conv_{number}", build_convolution(shapes, f"{prefix}.conv_{number}"))
        self.outputs = shapes[f"{prefix}.conv_3.weight"][0]

    def forward(self, images: Tensor, styles: Tensor, truncation: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, h, w], or twice the size."""
        result = images
        for number in range(4):
            result = self.get_submodule(f"bn_{number}")(result, styles, truncation).relu()
            if self.up and number == 1:
                result = functional.interpolate(result, scale_factor=2, mode="nearest")
            result = self.get_submodule(f"conv_{number}")(result)
        shortcut = images[:, : self.outputs]
        if self.up:
            shortcut = functional.interpolate(shortcut, scale_factor=2, mode="nearest")
        return result + shortcut


class SelfAttention(nn.Module):
    """Attention of all pixels to maxima of 2 × 2 pixels (Zhang et al. 2019, arXiv:1805.08318)."""

    def __init__(self, shapes: Shapes, prefix: str) -> None:
        super().__init__()
        for name in ("theta", "phi", "g", "o_conv"):
            self.add_module(f"snconv1x1_{name}", build_convolution(shapes, f"{prefix}.snconv1x1_{name}"))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, c, h, w] to the same."""
        queries = self.get_submodule("snconv1x1_theta")(images).flatten(2)
        keys, values = (self._pool(name, images) for name in ("phi", "g"))
        attention = torch.einsum("ncp,ncq->npq", queries, keys).softmax(dim=2)
        attended = torch.unflatten(torch.einsum("ncq,npq->ncp", values, attention), 2, images.shape[2:])
        added: Tensor = self.get_submodule("snconv1x1_o_conv")(attended)
        return images + self.gamma * added

    def _pool(self, name: str, images: Tensor) -> Tensor:
        return functional.max_pool2d(self.get_submodule(f"snconv1x1_{name}")(images), 2).flatten(2)


class Synthesis(nn.Module):
    """The layers between a style and an image."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        outputs, features = shapes["generator.gen_z.weight"]
        self.gen_z = nn.Linear(features, outputs)
        layers: list[nn.Module] = []
        blocks = 0
        for number in find_numbers(shapes, "generator.layers."):
            prefix = f"generator.layers.{number}"
            if f"{prefix}.gamma" in shapes:
                layers.append(SelfAttention(shapes, prefix))
            else:
                layers.append(Block(shapes, prefix, up=blocks % 2 == 1))
                blocks += 1
        self.layers = nn.ModuleList(layers)
        self.scale = 2 ** (blocks // 2)
        self.bn = BatchNorm(shapes, "generator.bn")
        self.conv_to_rgb = build_convolution(shapes, "generator.conv_to_rgb")

    def forward(self, styles: Tensor, truncation: Tensor) -> Tensor:
        """Return images for styles [n, style size] and truncations [n]."""
        features = self.gen_z(styles).view(len(styles), 4, 4, -1).permute(0, 3, 1, 2)
        for layer in self.layers:
            features = layer(features, styles, truncation) if isinstance(layer, Block) else layer(features)
        images: Tensor = self.conv_to_rgb(self.bn(features, styles, truncation).relu())
        return images[:, :COLOURS].tanh()


class Generator(LatentGenerator):
    """The generator. Its style is the latent with the features of a class."""

    def __init__(self, shapes: Shapes) -> None:
        features, classes = shapes["embeddings.weight"]
        latents = shapes["generator.gen_z.weight"][1] - features
        synthesis = Synthesis(shapes)
        side = 4 * synthesis.scale
        super().__init__(latents, (side, side), COLOURS, classes=classes, class_features=features)
        self.embeddings = nn.Linear(classes, features, bias=False)
        self.generator = synthesis

    def embed_labels(self, labels: Tensor) -> Tensor:
        """Return the features of classes, [n, style_size - latent_size]."""
        features: Tensor = self.embeddings(labels)
        return features

    def map_latents(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the styles of normal latents, which are cut at ±2 by their ranks: [n, 1, style_size]."""
        return super().map_latents(cut_normal(latents), labels)

    def synthesize(self, styles: Tensor, noise: Noise = "const") -> Tensor:  # noqa: ARG002
        """Return images [n, channels, height, width] in -1..1."""
        spread = styles[:, 0, : self.latent_size].square().mean(dim=1).sqrt() / SPREAD
        images: Tensor = self.generator(styles[:, 0], spread.clamp(0, 1))
        return images

    def list_feature_layers(self) -> list[tuple[int, nn.Module]]:
        """Return the last layer of each size with its side in px."""
        layers, side = {}, 4
        for layer in self.generator.layers:
            side *= 2 if isinstance(layer, Block) and layer.up else 1
            layers[side] = layer
        return sorted(layers.items())

    def list_style_weights(self) -> list[Tensor]:
        """Return the weights [inputs, style_size] with which the first layer reads the style."""
        return [self.generator.gen_z.weight]


def build_biggan(weights: Mapping[str, Tensor], clamp: float | None, options: Mapping[str, Any]) -> Generator:  # noqa: ARG001
    """Build the generator with these weights. Raises ValueError for weights of another network."""
    return build_network(weights, Generator, "a BigGAN-deep generator")


def cut_normal(values: Tensor) -> Tensor:
    """Map normal values to a normal distribution that is cut at ±2, so that their order stays."""
    inside = math.erf(BOUND / math.sqrt(2))
    cut: Tensor = torch.special.erfinv(torch.special.erf(values / math.sqrt(2)) * inside)
    return cut * math.sqrt(2)
