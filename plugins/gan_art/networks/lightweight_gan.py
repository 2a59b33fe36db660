"""The generator of lightweight-gan, lucidrains' version of FastGAN with attention and context excitation.

Written from the paper (Liu et al. 2021, arXiv:2101.04775) and the layout of its state dicts: ``initial_conv.0.weight``,
``layers.0.0.0.net.0.weight``, ``layers.0.1.to_k.weight``, ``out_conv.weight``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .building import Shapes, build_network
from .latent_styles import (
    AddedNoise,
    Blur,
    LatentGenerator,
    NoiseSource,
    NoisySequence,
    build_convolution,
    find_numbers,
    list_input_rows,
)
from .layers import Noise
from .linear_attention import LinearAttention, Normalized

EXCITES = {16: 128, 32: 256, 64: 512, 128: 1024}
"""Size of the features that those of a size excite, in px after the layers."""


class PixelShuffle(nn.Module):
    """Doubles the size by a pointwise convolution to four times the channels."""

    def __init__(self, shapes: Shapes, prefix: str) -> None:
        super().__init__()
        self.net = nn.Sequential(build_convolution(shapes, f"{prefix}.net.0"), nn.SiLU(), nn.PixelShuffle(2))

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, c, h, w] to [n, c, 2 h, 2 w]."""
        result: Tensor = self.net(images)
        return result


class ContextExcitation(nn.Module):
    """Makes weights of channels from a mean that attends to some pixels, or from frequencies of the features."""

    dct_weights: Tensor

    def __init__(self, shapes: Shapes, prefix: str) -> None:
        super().__init__()
        self.to_k = build_convolution(shapes, f"{prefix}.to_k") if f"{prefix}.to_k.weight" in shapes else None
        frequencies = shapes.get(f"{prefix}.dct_weights")
        self.register_buffer("dct_weights", None if frequencies is None else torch.zeros(frequencies))
        first, second = (build_convolution(shapes, f"{prefix}.net.{number}") for number in (0, 2))
        self.net = nn.Sequential(first, nn.LeakyReLU(0.1), second, nn.Sigmoid())

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, 1, 1]."""
        if self.to_k is None:
            summary = (images * self.dct_weights).sum(dim=(2, 3))
        else:
            attention = self.to_k(images).flatten(2).softmax(dim=2)
            summary = torch.einsum("nip,ncp->nc", attention, images.flatten(2))
        result: Tensor = self.net(summary[:, :, None, None])
        return result


class Layer(nn.Module):
    """Doubles the size; optionally attends first, and makes weights for a larger size afterwards."""

    def __init__(self, shapes: Shapes, prefix: str) -> None:
        super().__init__()
        self.add_module("0", NoisySequence(_build_upsampling(shapes, f"{prefix}.0")))
        if f"{prefix}.1.net.0.weight" in shapes:
            self.add_module("1", ContextExcitation(shapes, f"{prefix}.1"))
        if f"{prefix}.2.norm.g" in shapes:
            width = shapes[f"{prefix}.2.norm.g"][1]
            self.add_module("2", Normalized(LinearAttention(shapes, f"{prefix}.2.fn"), width))

    @property
    def excitation(self) -> nn.Module | None:
        """Makes weights for a larger size."""
        return self._modules.get("1")

    def forward(self, images: Tensor, noise: NoiseSource) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, 2 h, 2 w]."""
        if (attention := self._modules.get("2")) is not None:
            images = images + attention(images)
        result: Tensor = self.get_submodule("0")(images, noise)
        return result


class Generator(LatentGenerator):
    """The generator. Its images are in 0..1, and returned in -1..1."""

    def __init__(self, shapes: Shapes) -> None:
        latents, width, kernel, _ = shapes["initial_conv.0.weight"]
        numbers = find_numbers(shapes, "layers.")
        side = 4 * 2 ** len(numbers)
        super().__init__(latents, (side, side), shapes["out_conv.weight"][0])
        first = nn.ConvTranspose2d(latents, width, kernel)
        self.initial_conv = nn.Sequential(first, nn.BatchNorm2d(width), nn.GLU(1))
        self.layers = nn.ModuleList(Layer(shapes, f"layers.{number}") for number in numbers)
        self.out_conv = build_convolution(shapes, "out_conv")

    def synthesize(self, styles: Tensor, noise: Noise = "const") -> Tensor:
        """Return images [n, channels, height, width] in about -1..1."""
        source = NoiseSource(noise)
        features = functional.normalize(self.initial_conv(styles[:, 0, :, None, None]), dim=1)
        weights: dict[int, Tensor] = {}
        for layer in self.layers:
            assert isinstance(layer, Layer)
            features = layer(features, source)
            size = features.shape[2]
            if layer.excitation is not None:
                weights[EXCITES[size]] = layer.excitation(features)
            if size in weights:
                features = features * weights[size]
        images: Tensor = self.out_conv(features)
        return images * 2 - 1

    def list_feature_layers(self) -> list[tuple[int, nn.Module]]:
        """Return the layers with the side in px of their features."""
        return [(8 * 2**number, layer) for number, layer in enumerate(self.layers)]

    def list_style_weights(self) -> list[Tensor]:
        """Return the weights [inputs, style_size] with which the first layer reads the style."""
        return list_input_rows(self.get_parameter("initial_conv.0.weight"))


def build_lightweight_gan(
    weights: Mapping[str, Tensor],
    clamp: float | None,  # noqa: ARG001
    options: Mapping[str, Any],  # noqa: ARG001
) -> Generator:
    """Build the generator with these weights. Raises ValueError for weights of another network."""
    return build_network(weights, Generator, "a lightweight-gan generator")


def _build_upsampling(shapes: Shapes, prefix: str) -> list[nn.Module]:
    """Build the layers before the excitation; what has no weights is told by the numbers of those that have."""
    layers: list[nn.Module] = []
    if f"{prefix}.0.net.0.weight" in shapes:
        layers.append(PixelShuffle(shapes, f"{prefix}.0"))
    else:
        layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
    layers.append(Blur())
    if f"{prefix}.2.1.weight" in shapes:
        kernel = shapes[f"{prefix}.2.1.weight"][2]
        before, after = kernel // 2, (kernel - 1) // 2
        convolution = build_convolution(shapes, f"{prefix}.2.1", 0)
        layers.append(nn.Sequential(nn.ZeroPad2d((before, after, before, after)), convolution))
        outputs = convolution.out_channels
    else:
        layers.append(build_convolution(shapes, f"{prefix}.2"))
        outputs = shapes[f"{prefix}.2.weight"][0]
    if shapes[f"{prefix}.3.weight"] == (1,) and f"{prefix}.3.running_mean" not in shapes:
        layers.append(AddedNoise())
    return [*layers, nn.BatchNorm2d(outputs), nn.GLU(1)]
