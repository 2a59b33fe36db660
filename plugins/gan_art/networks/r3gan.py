"""The generator of R3GAN, built from the tensors of its weights.

Written from the paper (Huang et al. 2024, arXiv:2501.05441): inverted bottlenecks with grouped convolutions, without
normalisation, styles or noise. State dicts have the names of the published weights, such as
``Model.MainLayers.1.Layers.2.LinearLayer1.Layer.weight``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .building import Shapes, build_network
from .latent_styles import LatentGenerator, find_numbers
from .layers import LEAKY_SLOPE, Noise, filter_image


class Convolution(nn.Module):
    """A convolution without bias, of which the groups follow from the shape of its weight."""

    def __init__(self, shape: tuple[int, ...], inputs: int) -> None:
        super().__init__()
        outputs, of_group, kernel, _ = shape
        self.Layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=inputs // of_group, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, h, w]."""
        result: Tensor = self.Layer(images)
        return result


class BiasedActivation(nn.Module):
    """Adds a bias and applies a leaky ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.Bias = nn.Parameter(torch.zeros(width))

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, width, h, w] to the same."""
        return functional.leaky_relu(images + self.Bias[:, None, None], LEAKY_SLOPE)


class ResidualBlock(nn.Module):
    """Adds two pointwise convolutions with a grouped one between them."""

    def __init__(self, shapes: Shapes, prefix: str) -> None:
        super().__init__()
        first, second, third = (shapes[f"{prefix}LinearLayer{number}.Layer.weight"] for number in (1, 2, 3))
        self.LinearLayer1 = Convolution(first, first[1])
        self.NonLinearity1 = BiasedActivation(first[0])
        self.LinearLayer2 = Convolution(second, first[0])
        self.NonLinearity2 = BiasedActivation(second[0])
        self.LinearLayer3 = Convolution(third, second[0])

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, width, h, w] to the same."""
        result: Tensor = self.NonLinearity1(self.LinearLayer1(images))
        result = self.LinearLayer3(self.NonLinearity2(self.LinearLayer2(result)))
        return images + result


class GenerativeBasis(nn.Module):
    """Learnt images of 4 px, weighted by the latent."""

    def __init__(self, shapes: Shapes, prefix: str) -> None:
        super().__init__()
        width, latents = shapes[f"{prefix}LinearLayer.weight"]
        self.Basis = nn.Parameter(torch.zeros(shapes[f"{prefix}Basis"]))
        self.LinearLayer = nn.Linear(latents, width, bias=False)

    def forward(self, latents: Tensor) -> Tensor:
        """Map [n, latents] to features [n, width, 4, 4]."""
        weights: Tensor = self.LinearLayer(latents)
        return self.Basis * weights[:, :, None, None]


class Resampler(nn.Module):
    """Doubles the size with a low-pass filter."""

    Kernel: Tensor

    def __init__(self, kernel: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("Kernel", torch.zeros(kernel))

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, c, h, w] to [n, c, 2 h, 2 w]."""
        side = self.Kernel.shape[0]
        kernel = self.Kernel * (4 / self.Kernel.sum())
        return filter_image(images, kernel, up=2, pad=((side + 1) // 2, (side - 2) // 2))


class UpsampleLayer(nn.Module):
    """Doubles the size, with a pointwise convolution where the width changes."""

    def __init__(self, shapes: Shapes, prefix: str) -> None:
        super().__init__()
        self.Resampler = Resampler(shapes[f"{prefix}Resampler.Kernel"])
        linear = shapes.get(f"{prefix}LinearLayer.Layer.weight")
        self.LinearLayer = None if linear is None else Convolution(linear, linear[1])

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, 2 h, 2 w]."""
        result: Tensor = self.Resampler(images if self.LinearLayer is None else self.LinearLayer(images))
        return result


class Stage(nn.Module):
    """The layers of one size."""

    def __init__(self, shapes: Shapes, prefix: str) -> None:
        super().__init__()
        first = GenerativeBasis if f"{prefix}Layers.0.Basis" in shapes else UpsampleLayer
        numbers = find_numbers(shapes, f"{prefix}Layers.")
        blocks = [ResidualBlock(shapes, f"{prefix}Layers.{number}.") for number in numbers[1:]]
        self.Layers = nn.ModuleList([first(shapes, f"{prefix}Layers.0."), *blocks])

    def forward(self, features: Tensor) -> Tensor:
        """Map features of the size before, or latents, to features of this size."""
        for layer in self.Layers:
            features = layer(features)
        return features


class Model(nn.Module):
    """The stages, and the convolution to RGB."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        numbers = find_numbers(shapes, "Model.MainLayers.")
        self.MainLayers = nn.ModuleList(Stage(shapes, f"Model.MainLayers.{number}.") for number in numbers)
        last = shapes["Model.AggregationLayer.Layer.weight"]
        self.AggregationLayer = Convolution(last, last[1])
        embedding = shapes.get("Model.EmbeddingLayer.weight")
        self.EmbeddingLayer = None if embedding is None else nn.Linear(embedding[1], embedding[0], bias=False)


class Generator(LatentGenerator):
    """The generator of R3GAN. Its style is the latent with the features of a class."""

    def __init__(self, shapes: Shapes) -> None:
        features, classes = shapes.get("Model.EmbeddingLayer.weight", (0, 0))
        first = shapes["Model.MainLayers.0.Layers.0.Basis"]
        latents = shapes["Model.MainLayers.0.Layers.0.LinearLayer.weight"][1] - features
        channels = shapes["Model.AggregationLayer.Layer.weight"][0]
        scale = 2 ** (len(find_numbers(shapes, "Model.MainLayers.")) - 1)
        size = first[1] * scale, first[2] * scale
        super().__init__(latents, size, channels, classes=classes, class_features=features)
        self.Model = Model(shapes)

    def embed_labels(self, labels: Tensor) -> Tensor:
        """Return the features of classes, [n, style_size - latent_size]."""
        assert self.Model.EmbeddingLayer is not None
        features: Tensor = self.Model.EmbeddingLayer(labels)
        return features

    def synthesize(self, styles: Tensor, noise: Noise = "const") -> Tensor:  # noqa: ARG002
        """Return images [n, channels, height, width] in about -1..1."""
        features = styles[:, 0]
        for stage in self.Model.MainLayers:
            features = stage(features)
        images: Tensor = self.Model.AggregationLayer(features)
        return images

    def list_feature_layers(self) -> list[tuple[int, nn.Module]]:
        """Return the stages with their shorter side in px."""
        first = min(self.image_size) // 2 ** (len(self.Model.MainLayers) - 1)
        return [(first * 2**number, stage) for number, stage in enumerate(self.Model.MainLayers)]

    def list_style_weights(self) -> list[Tensor]:
        """Return the weights [inputs, style_size] with which the first stage reads the style."""
        return [self.get_parameter("Model.MainLayers.0.Layers.0.LinearLayer.weight")]


def build_r3gan(weights: Mapping[str, Tensor], clamp: float | None, options: Mapping[str, Any]) -> Generator:  # noqa: ARG001
    """Build the generator with these weights. Raises ValueError for weights of another network."""
    return build_network(weights, Generator, "an R3GAN generator")
