"""The generator of progressive growing of GANs, as pytorch_GAN_zoo saves it.

Written from the paper (Karras et al. 2018, arXiv:1710.10196) and the layout of its state dicts: ``formatLayer.weight``,
``groupScale0.0.weight``, ``scaleLayers.0.1.weight``, ``toRGBLayers.3.weight``. Of the layers to RGB the last is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .building import Shapes, build_network
from .latent_styles import LatentGenerator, find_numbers
from .layers import LEAKY_SLOPE, Noise


class Layer(nn.Module):
    """A linear layer or convolution whose output, with its bias, is scaled by He's constant."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))

    def forward(self, values: Tensor) -> Tensor:
        """Map [n, inputs] to [n, outputs], or [n, inputs, h, w] to [n, outputs, h, w]."""
        scale = math.sqrt(2 / self.weight[0].numel())
        if self.weight.ndim == 2:
            return functional.linear(values, self.weight, self.bias) * scale
        return functional.conv2d(values, self.weight, self.bias, padding=self.weight.shape[2] // 2) * scale


class Generator(LatentGenerator):
    """The generator of the largest size that the file has."""

    def __init__(self, shapes: Shapes) -> None:
        scales = find_numbers(shapes, "scaleLayers.")
        last = find_numbers(shapes, "toRGBLayers.")[-1]
        side = 4 * 2 ** len(scales)
        super().__init__(shapes["formatLayer.weight"][1], (side, side), shapes[f"toRGBLayers.{last}.weight"][0])
        self.formatLayer = Layer(shapes["formatLayer.weight"])
        self.groupScale0 = _build_group(shapes, "groupScale0.")
        self.scaleLayers = nn.ModuleList(_build_group(shapes, f"scaleLayers.{number}.") for number in scales)
        self.toRGBLayers = nn.ModuleDict({str(last): Layer(shapes[f"toRGBLayers.{last}.weight"])})

    def synthesize(self, styles: Tensor, noise: Noise = "const") -> Tensor:  # noqa: ARG002
        """Return images [n, channels, height, width] in about -1..1."""
        features = _activate(self.formatLayer(_normalize(styles[:, 0])))
        features = _normalize(features.view(len(features), -1, 4, 4))
        for number, group in enumerate([self.groupScale0, *self.scaleLayers]):
            if number:
                features = functional.interpolate(features, scale_factor=2, mode="nearest")
            for layer in group.children():
                features = _normalize(_activate(layer(features)))
        (to_rgb,) = self.toRGBLayers.values()
        images: Tensor = to_rgb(features)
        return images

    def list_feature_layers(self) -> list[tuple[int, nn.Module]]:
        """Return the last convolution of each size with its side in px."""
        groups = [self.groupScale0, *self.scaleLayers]
        return [(4 * 2**number, [*group.children()][-1]) for number, group in enumerate(groups)]

    def list_style_weights(self) -> list[Tensor]:
        """Return the weights [inputs, style_size] with which the first layer reads the style."""
        return [self.formatLayer.weight]


def build_progressive_gan(
    weights: Mapping[str, Tensor],
    clamp: float | None,  # noqa: ARG001
    options: Mapping[str, Any],  # noqa: ARG001
) -> Generator:
    """Build the generator with these weights. Raises ValueError for weights of another network."""
    return build_network(weights, Generator, "a progressively grown generator")


def _build_group(shapes: Shapes, prefix: str) -> nn.ModuleList:
    return nn.ModuleList(Layer(shapes[f"{prefix}{number}.weight"]) for number in find_numbers(shapes, prefix))


def _activate(values: Tensor) -> Tensor:
    return functional.leaky_relu(values, LEAKY_SLOPE)


def _normalize(values: Tensor) -> Tensor:
    return values * (values.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
