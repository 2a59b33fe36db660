"""The generator of lucidrains' stylegan2-pytorch, which differs from StyleGAN2 in scales, noise and upsampling.

Written from the paper (arXiv:1912.04958) and the layout of its state dicts: ``S.net.0.weight``, ``G.initial_block``,
``G.blocks.0.to_style1.weight``. A buffer ``w_avg`` with the mean style is added when a file is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .building import Shapes, build_network
from .latent_styles import NOISE_SEED, Blur, build_convolution, find_numbers
from .layers import DEMODULATION_EPS, LEAKY_SLOPE, Noise
from .linear_attention import LinearAttention, Normalized

MAPPING_RATE = 0.1


class StyleMapping(nn.Module):
    """Maps latents of length 1 to styles."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        numbers = find_numbers(shapes, "S.net.")
        layers: list[nn.Module] = []
        for number in range(numbers[-1] + 1):
            if number in numbers:
                outputs, inputs = shapes[f"S.net.{number}.weight"]
                layers.append(nn.Linear(inputs, outputs))
            else:
                layers.append(nn.LeakyReLU(LEAKY_SLOPE))
        self.net = nn.Sequential(*layers, nn.LeakyReLU(LEAKY_SLOPE))

    def forward(self, latents: Tensor) -> Tensor:
        """Map [n, latents] to [n, styles]."""
        values = functional.normalize(latents, dim=1)
        for layer in self.net:
            values = layer(values) * (MAPPING_RATE if isinstance(layer, nn.Linear) else 1)
        return values


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by one more than a style."""

    def __init__(self, shape: tuple[int, ...], *, demodulate: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))
        self.demodulate = demodulate

    def forward(self, images: Tensor, style: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, h, w] with styles [n, inputs]."""
        scales = style + 1
        images = images * scales[:, :, None, None]
        images = functional.conv2d(images, self.weight, padding=self.weight.shape[2] // 2)
        if self.demodulate:
            squares = self.weight.square().sum(dim=(2, 3))
            images = images * (scales.square() @ squares.T + DEMODULATION_EPS).rsqrt()[:, :, None, None]
        return images


class ToRgb(nn.Module):
    """Adds to the image, and doubles its size where a larger block follows."""

    def __init__(self, shapes: Shapes, prefix: str, *, up: bool) -> None:
        super().__init__()
        self.to_style = _build_linear(shapes, f"{prefix}.to_style")
        self.conv = ModulatedConv(shapes[f"{prefix}.conv.weight"], demodulate=False)
        double = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.upsample = nn.Sequential(double, Blur()) if up else None

    def forward(self, features: Tensor, image: Tensor | None, style: Tensor) -> Tensor:
        """Return the image so far for features [n, c, h, w]."""
        added: Tensor = self.conv(features, self.to_style(style))
        added = added if image is None else added + image
        return added if self.upsample is None else self.upsample(added)


class Block(nn.Module):
    """The layers of one size."""

    def __init__(self, shapes: Shapes, prefix: str, *, first: bool, last: bool) -> None:
        super().__init__()
        self.first = first
        for number in (1, 2):
            self.add_module(f"to_style{number}", _build_linear(shapes, f"{prefix}.to_style{number}"))
            self.add_module(f"to_noise{number}", _build_linear(shapes, f"{prefix}.to_noise{number}"))
            self.add_module(f"conv{number}", ModulatedConv(shapes[f"{prefix}.conv{number}.weight"], demodulate=True))
        self.to_rgb = ToRgb(shapes, f"{prefix}.to_rgb", up=not last)

    def forward(
        self, features: Tensor, image: Tensor | None, style: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the (features, image) of this size; `noise` is [n, height, width] of the whole image."""
        if not self.first:
            features = functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
        for number in (1, 2):
            scales = self.get_submodule(f"to_style{number}")(style)
            features = self.get_submodule(f"conv{number}")(features, scales)
            if noise is not None:
                part = noise[:, : features.shape[2], : features.shape[3], None]
                features = features + self.get_submodule(f"to_noise{number}")(part).permute(0, 3, 2, 1)
            features = functional.leaky_relu(features, LEAKY_SLOPE)
        return features, self.to_rgb(features, image, style)


class Synthesis(nn.Module):
    """The blocks, with attention before some."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        numbers = find_numbers(shapes, "G.blocks.")
        self.learnt = "G.to_initial_block.weight" in shapes
        if self.learnt:
            styles, width, kernel, _ = shapes["G.to_initial_block.weight"]
            self.to_initial_block = nn.ConvTranspose2d(styles, width, kernel, bias=False)
        else:
            self.initial_block = nn.Parameter(torch.zeros(shapes["G.initial_block"]))
        self.initial_conv = build_convolution(shapes, "G.initial_conv")
        self.blocks = nn.ModuleList(
            Block(shapes, f"G.blocks.{number}", first=number == 0, last=number == numbers[-1]) for number in numbers
        )
        self.attns = nn.ModuleDict(
            {str(number): _build_attention(shapes, f"G.attns.{number}") for number in find_numbers(shapes, "G.attns.")}
        )

    def forward(self, styles: Tensor, noise: Tensor | None) -> Tensor:
        """Return images in about 0..1 for styles [n, blocks, style size]."""
        if self.learnt:
            features = self.to_initial_block(styles.mean(dim=1)[:, :, None, None])
        else:
            features = self.initial_block.expand(len(styles), -1, -1, -1)
        features = self.initial_conv(features)
        image: Tensor | None = None
        for number, block in enumerate(self.blocks):
            if str(number) in self.attns:
                for layer in self.attns[str(number)].children():
                    features = features + layer(features)
            features, image = block(features, image, styles[:, number], noise)
        assert image is not None
        return image


class Generator(nn.Module):
    """The generator. Its images are in 0..1, and returned in -1..1."""

    w_avg: Tensor

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.S = StyleMapping(shapes)
        self.G = Synthesis(shapes)
        self.latent_size = shapes["S.net.0.weight"][1]
        self.style_size = shapes["G.blocks.0.to_style1.weight"][1]
        self.layer_count = len(self.G.blocks)
        self.classes = 0
        self.channels = shapes["G.blocks.0.to_rgb.conv.weight"][0]
        side = 4 * 2 ** (self.layer_count - 1)
        self.image_size = side, side
        self.register_buffer("w_avg", torch.zeros(self.style_size))

    @property
    def mean_style(self) -> Tensor:
        """The mean style, [1, style_size]."""
        return self.w_avg[None]

    def map_latents(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return the styles of latents, [n, layer_count, style_size]."""
        styles: Tensor = self.S(latents)
        return styles[:, None].expand(-1, self.layer_count, -1)

    def synthesize(self, styles: Tensor, noise: Noise = "const") -> Tensor:
        """Return images [n, channels, height, width] in about -1..1. Noise is uniform, one image for all layers."""
        drawn = None
        if noise != "none":
            source = torch.Generator("cpu").manual_seed(NOISE_SEED) if noise == "const" else noise
            count = 1 if noise == "const" else len(styles)
            drawn = torch.rand(count, *self.image_size, generator=source).to(styles)
        images: Tensor = self.G(styles, drawn)
        return images * 2 - 1

    def list_feature_layers(self) -> list[tuple[int, nn.Module]]:
        """Return the last convolution of each block with its side in px."""
        return [(4 * 2**number, block.get_submodule("conv2")) for number, block in enumerate(self.G.blocks)]

    def list_style_weights(self) -> list[Tensor]:
        """Return the weights [inputs, style_size] with which each block reads its style."""
        names = ("to_style1.weight", "to_style2.weight")
        return [torch.cat([block.get_parameter(name) for name in names]) for block in self.G.blocks]


def build_lucidrains_stylegan2(
    weights: Mapping[str, Tensor],
    clamp: float | None,  # noqa: ARG001
    options: Mapping[str, Any],  # noqa: ARG001
) -> Generator:
    """Build the generator with these weights. Raises ValueError for weights of another network."""
    return build_network(weights, Generator, "a generator of stylegan2-pytorch")


def _build_linear(shapes: Shapes, prefix: str) -> nn.Linear:
    outputs, inputs = shapes[f"{prefix}.weight"]
    return nn.Linear(inputs, outputs)


def _build_attention(shapes: Shapes, prefix: str) -> nn.Module:
    """Build attention and a pointwise network, each of which adds to the features."""
    width = shapes[f"{prefix}.0.fn.norm.g"][1]
    first, second = (build_convolution(shapes, f"{prefix}.1.fn.fn.{number}") for number in (0, 2))
    layers = [
        Normalized(LinearAttention(shapes, f"{prefix}.0.fn.fn"), width),
        Normalized(nn.Sequential(first, nn.LeakyReLU(LEAKY_SLOPE), second), width),
    ]
    return nn.Sequential(*(_Residual(layer) for layer in layers))


class _Residual(nn.Module):
    """Keeps the name under which the state dict has a layer that adds to its input."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.fn = layer

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.fn(images)
        return result
