"""Generators of DCGAN and of tutorials after it: stacks of convolutions, rebuilt from the shapes of their weights.

Written from the paper (Radford et al. 2016, arXiv:1511.06434). State dicts of transposed convolutions are
``blocks.0.conv.weight``, ``blocks.0.norm.weight`` …; those of upsampling and convolutions keep the names of
PyTorch-GAN, ``l1.0.weight``, ``conv_blocks.2.weight`` ….
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor, nn

from .building import Shapes, build_network
from .latent_styles import LatentGenerator, build_convolution, find_numbers, list_input_rows
from .layers import LEAKY_SLOPE, Noise

KERNEL = 4
"""Side of a transposed convolution that makes 4 px of 1, and then doubles the size each time."""
WIDE_EPS = 0.8
"""Epsilon of the later normalisations in PyTorch-GAN, which was meant to be their momentum."""


class TransposedBlock(nn.Module):
    """A transposed convolution, a normalisation where the file has one, and a ReLU unless it is the last."""

    def __init__(self, shapes: Shapes, prefix: str, *, first: bool, last: bool) -> None:
        super().__init__()
        inputs, outputs, kernel, _ = shapes[f"{prefix}.conv.weight"]
        if kernel != KERNEL:
            raise KeyError(f"{prefix}.conv.weight")
        stride, padding = (1, 0) if first else (2, 1)
        bias = f"{prefix}.conv.bias" in shapes
        self.conv = nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, bias=bias)
        self.norm = nn.BatchNorm2d(outputs) if f"{prefix}.norm.weight" in shapes else None
        self.last = last

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, 2 h, 2 w]."""
        images = self.conv(images)
        images = images if self.norm is None else self.norm(images)
        return images.tanh() if self.last else images.relu()


class TransposedGenerator(LatentGenerator):
    """The generator of DCGAN: transposed convolutions of 4 px, from 1 px to 4, 8, 16 …"""

    def __init__(self, shapes: Shapes) -> None:
        numbers = find_numbers(shapes, "blocks.")
        last = shapes[f"blocks.{numbers[-1]}.conv.weight"]
        side = KERNEL * 2 ** (len(numbers) - 1)
        super().__init__(shapes["blocks.0.conv.weight"][0], (side, side), last[1])
        self.blocks = nn.ModuleList(
            TransposedBlock(shapes, f"blocks.{number}", first=number == 0, last=number == numbers[-1])
            for number in numbers
        )

    def synthesize(self, styles: Tensor, noise: Noise = "const") -> Tensor:  # noqa: ARG002
        """Return images [n, channels, height, width] in -1..1."""
        images = styles[:, 0, :, None, None]
        for block in self.blocks:
            images = block(images)
        return images

    def list_feature_layers(self) -> list[tuple[int, nn.Module]]:
        """Return the blocks but the last with their side in px."""
        return [(KERNEL * 2**number, block) for number, block in enumerate(self.blocks[:-1])]

    def list_style_weights(self) -> list[Tensor]:
        """Return the weights [inputs, style_size] with which the first layer reads the style."""
        return list_input_rows(self.get_parameter("blocks.0.conv.weight"))


class UpsampledGenerator(LatentGenerator):
    """The generator that PyTorch-GAN calls DCGAN: a linear layer, and two upsamplings with convolutions."""

    def __init__(self, shapes: Shapes) -> None:
        outputs, latents = shapes["l1.0.weight"]
        width = shapes["conv_blocks.0.weight"][0]
        side = 4 * isqrt(outputs // width)
        super().__init__(latents, (side, side), shapes["conv_blocks.9.weight"][0])
        self.width = width
        self.l1 = nn.Sequential(nn.Linear(latents, outputs))
        first, second, third = (build_convolution(shapes, f"conv_blocks.{number}") for number in (2, 6, 9))
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(self.width),
            nn.Upsample(scale_factor=2),
            first,
            nn.BatchNorm2d(first.out_channels, WIDE_EPS),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Upsample(scale_factor=2),
            second,
            nn.BatchNorm2d(second.out_channels, WIDE_EPS),
            nn.LeakyReLU(LEAKY_SLOPE),
            third,
            nn.Tanh(),
        )

    def synthesize(self, styles: Tensor, noise: Noise = "const") -> Tensor:  # noqa: ARG002
        """Return images [n, channels, height, width] in -1..1."""
        features: Tensor = self.l1(styles[:, 0])
        side = self.image_size[0] // 4
        images: Tensor = self.conv_blocks(features.view(-1, self.width, side, side))
        return images

    def list_feature_layers(self) -> list[tuple[int, nn.Module]]:
        """Return the convolutions before the last with their side in px."""
        half = self.image_size[0] // 2
        return [(half, self.conv_blocks[2]), (2 * half, self.conv_blocks[6])]

    def list_style_weights(self) -> list[Tensor]:
        """Return the weights [inputs, style_size] with which the first layer reads the style."""
        return [self.get_parameter("l1.0.weight")]


def build_dcgan(weights: Mapping[str, Tensor], clamp: float | None, options: Mapping[str, Any]) -> LatentGenerator:  # noqa: ARG001
    """Build the generator with these weights. Raises ValueError for weights of another network."""
    kind: type[LatentGenerator] = UpsampledGenerator if "l1.0.weight" in weights else TransposedGenerator
    return build_network(weights, kind, "a DCGAN generator")
