"""StyleGAN2: mapping network, skip generator and residual discriminator, built from lists of widths.

Written from the papers (arXiv:1912.04958, arXiv:2006.06676). State dicts use the names of StyleGAN2-ADA's published
weights (``mapping.fc0.weight``, ``synthesis.b4.const``, ``synthesis.b8.conv0.affine.weight`` …).
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

import torch
from torch import Tensor, nn

from .building import Shapes
from .layers import EqualizedConv, EqualizedLinear, MinibatchDeviation, ModulatedConv, Noise, upsample

FIRST = 4
"""Name of the first block; its real size is that of the constant."""
MAPPING_RATE = 0.01
RESIDUAL_GAIN = math.sqrt(0.5)


@dataclass(frozen=True)
class GeneratorConfig:
    """The shape of a generator. Widths are by block, from the smallest to the largest size."""

    latent_size: int
    style_size: int
    mapping_layers: int
    widths: tuple[int, ...]
    """Channels of each block; the first block is 4 px, each further one twice as large."""
    constant: tuple[int, int] = (4, 4)
    """Height and width of the learned constant; (4, 6) gives images in 2:3."""
    channels: int = 3
    classes: int = 0
    noise_from: int = 0
    """Number of the first block whose layers add noise."""
    clamp: float | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images in px."""
        scale = 2 ** (len(self.widths) - 1)
        return self.constant[0] * scale, self.constant[1] * scale


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The shape of a discriminator. Widths are by block, from the smallest to the largest size."""

    widths: tuple[int, ...]
    constant: tuple[int, int] = (4, 4)
    channels: int = 3
    classes: int = 0
    label_size: int = 0
    """Number of values that a label is mapped to; 0 without classes."""
    mapping_layers: int = 0
    clamp: float | None = None


class MappingNetwork(nn.Module):
    """Maps latents and labels to styles, and has their mean."""

    w_avg: Tensor

    def __init__(
        self, latents: int, styles: int, layers: int, classes: int = 0, *, embedding: int | None = None
    ) -> None:
        """Create the network; `latents` is 0 for one that maps labels only."""
        super().__init__()
        self.latents, self.classes, self.layers = latents, classes, layers
        size = latents
        if classes:
            embedded = styles if embedding is None else embedding
            self.embed = EqualizedLinear(classes, embedded)
            size += embedded
        for number in range(layers):
            layer = EqualizedLinear(size if number == 0 else styles, styles, rate=MAPPING_RATE, activate=True)
            self.add_module(f"fc{number}", layer)
        self.register_buffer("w_avg", torch.zeros(styles))

    def forward(self, latents: Tensor | None, labels: Tensor | None = None) -> Tensor:
        """Map [n, latents] and [n, classes] to styles [n, styles]."""
        parts = [] if latents is None else [_normalize(latents.float())]
        if self.classes:
            if labels is None:
                raise ValueError("this network needs labels")
            parts.append(_normalize(self.embed(labels.float())))
        values = torch.cat(parts, dim=1)
        for number in range(self.layers):
            values = self.get_submodule(f"fc{number}")(values)
        return values


class SynthesisBlock(nn.Module):
    """The layers of one size: one or two convolutions, and one to RGB."""

    const: nn.Parameter | None

    def __init__(self, inputs: int, width: int, config: GeneratorConfig, size: tuple[int, int], *, noise: bool) -> None:
        """Create a block of `size` (height, width); the first one, with no `inputs`, begins with a constant."""
        super().__init__()
        noise_size = size if noise else None
        self.const = None
        if inputs:
            self.conv0 = ModulatedConv(inputs, width, config.style_size, up=True, noise=noise_size)
        else:
            self.const = nn.Parameter(torch.randn(width, *size))
        self.conv1 = ModulatedConv(width, width, config.style_size, noise=noise_size)
        self.torgb = ModulatedConv(width, config.channels, config.style_size, 1, to_rgb=True)
        for layer in self.children():
            if isinstance(layer, ModulatedConv):
                layer.clamp = config.clamp

    def list_layers(self) -> list[ModulatedConv]:
        """Return the convolutions without the one to RGB."""
        return [self.conv1] if self.const is not None else [self.conv0, self.conv1]

    @property
    def layer_count(self) -> int:
        """Number of convolutions; the layer to RGB shares its style with the next block."""
        return 1 if self.const is not None else 2

    def forward(
        self, features: Tensor | None, image: Tensor | None, styles: Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """Return the (features, image) of this size; `styles` are [n, layer_count + 1, style size]."""
        if self.const is not None:
            features = self.const[None].expand(styles.shape[0], -1, -1, -1)
            features = features.contiguous(memory_format=torch.channels_last)
        else:
            features = self.conv0(features, styles[:, 0], noise)
        last = self.layer_count
        features = self.conv1(features, styles[:, last - 1], noise)
        added = self.torgb(features, styles[:, last])
        image = added if image is None else upsample(image) + added
        return cast(Tensor, features), image


class SynthesisNetwork(nn.Module):
    """Blocks of growing size that turn styles into an image."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.names = [f"b{FIRST * 2**number}" for number in range(len(config.widths))]
        inputs = 0
        for number, (name, width) in enumerate(zip(self.names, config.widths, strict=True)):
            size = config.constant[0] * 2**number, config.constant[1] * 2**number
            self.add_module(name, SynthesisBlock(inputs, width, config, size, noise=number >= config.noise_from))
            inputs = width

    def list_blocks(self) -> list[SynthesisBlock]:
        """Return the blocks from the smallest to the largest size."""
        return [cast(SynthesisBlock, self.get_submodule(name)) for name in self.names]

    def forward(self, styles: Tensor, noise: Noise = "const", *, blocks: int | None = None) -> Tensor:
        """Return images [n, channels, height, width] in about -1..1.

        With `blocks` only so many are computed, and the image has the size of the last one.
        """
        images = islice(self.iterate_blocks(styles, noise), blocks)
        return deque(images, maxlen=1).pop()

    def iterate_blocks(self, styles: Tensor, noise: Noise = "const") -> Iterator[Tensor]:
        """Yield the image [n, channels, height, width] after each block, each twice as large as the one before."""
        features = image = None
        first = 0
        for block in self.list_blocks():
            features, image = block(features, image, styles[:, first : first + block.layer_count + 1], noise)
            first += block.layer_count
            yield cast(Tensor, image)


class Generator(nn.Module):
    """The generator of StyleGAN2."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.latent_size, self.style_size = config.latent_size, config.style_size
        self.classes, self.channels, self.image_size = config.classes, config.channels, config.image_size
        self.layer_count = 2 * len(config.widths)
        self.mapping = MappingNetwork(config.latent_size, config.style_size, config.mapping_layers, config.classes)
        self.synthesis = SynthesisNetwork(config)

    @property
    def mean_style(self) -> Tensor:
        """The mean style, [1, style_size]."""
        return self.mapping.w_avg[None]

    def map_latents(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the styles of latents, [n, layer_count, style_size]."""
        styles: Tensor = self.mapping(latents, labels)
        return styles[:, None].expand(-1, self.layer_count, -1)

    def synthesize(self, styles: Tensor, noise: Noise = "const") -> Tensor:
        """Return images [n, channels, height, width] in about -1..1."""
        images: Tensor = self.synthesis(styles, noise)
        return images

    def list_feature_layers(self) -> list[tuple[int, ModulatedConv]]:
        """Return the last convolution of each block, whose output are its features, with the shorter side in px."""
        blocks = self.synthesis.list_blocks()
        return [(min(self.config.constant) * 2**number, block.conv1) for number, block in enumerate(blocks)]

    def list_style_weights(self) -> list[Tensor]:
        """Return the weights [inputs, style_size] with which each layer reads its style."""
        blocks = self.synthesis.list_blocks()
        layers = [layer for block in blocks for layer in block.list_layers()] + [blocks[-1].torgb]
        return [layer.affine.weight for layer in layers]

    def forward(self, latents: Tensor, labels: Tensor | None = None, noise: Noise = "const") -> Tensor:
        """Return the images of latents."""
        return self.synthesize(self.map_latents(latents, labels), noise)


class DiscriminatorBlock(nn.Module):
    """A residual block that halves the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = EqualizedConv(inputs, inputs, 3)
        self.conv1 = EqualizedConv(inputs, outputs, 3, down=True)
        self.skip = EqualizedConv(inputs, outputs, 1, bias=False, activate=False, down=True)

    def forward(self, features: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, h / 2, w / 2]."""
        shortcut: Tensor = self.skip(features, RESIDUAL_GAIN)
        convolved: Tensor = self.conv1(self.conv0(features), RESIDUAL_GAIN)
        return shortcut + convolved


class DiscriminatorEpilogue(nn.Module):
    """The last layers of a discriminator."""

    def __init__(self, width: int, size: tuple[int, int], outputs: int) -> None:
        super().__init__()
        self.deviation = MinibatchDeviation()
        self.conv = EqualizedConv(width + 1, width, 3)
        self.fc = EqualizedLinear(width * size[0] * size[1], width, activate=True)
        self.out = EqualizedLinear(width, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Map [n, width, h, w] to [n, outputs]."""
        values = self.conv(self.deviation(features))
        result: Tensor = self.out(self.fc(values.float().flatten(1)))
        return result


class Discriminator(nn.Module):
    """The residual discriminator of StyleGAN2, with a projection of labels where it has classes."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.names = [f"b{FIRST * 2**number}" for number in range(len(config.widths) - 1, 0, -1)]
        self.fromrgb_name = self.names[0] if self.names else f"b{FIRST}"
        widths = [*reversed(config.widths)]
        for name, inputs, outputs in zip(self.names, widths, widths[1:], strict=False):
            block = DiscriminatorBlock(inputs, outputs)
            if name == self.fromrgb_name:
                block.add_module("fromrgb", EqualizedConv(config.channels, inputs, 1))
            self.add_module(name, block)
        self.b4 = DiscriminatorEpilogue(widths[-1], config.constant, config.label_size or 1)
        if config.classes:
            self.mapping = MappingNetwork(0, config.label_size, config.mapping_layers, config.classes)

    def extract_features(self, images: Tensor) -> list[Tensor]:
        """Return the features after each block, the largest first."""
        features: Tensor = self.get_submodule(f"{self.fromrgb_name}.fromrgb")(images)
        levels = []
        for name in self.names:
            features = self.get_submodule(name)(features)
            levels.append(features)
        return levels

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return scores [n] of images [n, channels, h, w]; higher is more like the training data."""
        return self.score_features(self.extract_features(images), labels)

    def score_features(self, levels: Sequence[Tensor], labels: Tensor | None = None) -> Tensor:
        """Return scores [n] of the features that `extract_features` gives."""
        values: Tensor = self.b4(levels[-1])
        if self.config.classes:
            mapped: Tensor = self.mapping(None, labels)
            projected: Tensor = (values * mapped).sum(dim=1) / math.sqrt(self.config.label_size)
            return projected
        return values[:, 0]


def read_generator_config(shapes: Shapes, *, clamp: float | None = None) -> GeneratorConfig:
    """Return the config of a generator from the shapes of its state dict. Raises ValueError for another network."""
    try:
        blocks = _find_blocks(shapes, r"synthesis\.b(\d+)\.conv1\.weight")
        first = shapes[f"synthesis.b{FIRST}.const"]
        embedding = shapes.get("mapping.embed.weight", (0, 0))
        noisy = [f"synthesis.b{size}.conv1.noise_strength" in shapes for size in blocks]
        return GeneratorConfig(
            latent_size=shapes["mapping.fc0.weight"][1] - embedding[0],
            style_size=shapes[f"synthesis.b{FIRST}.conv1.affine.weight"][1],
            mapping_layers=_count(shapes, r"mapping\.fc(\d+)\.weight"),
            widths=tuple(shapes[f"synthesis.b{size}.conv1.weight"][0] for size in blocks),
            constant=(first[1], first[2]),
            channels=shapes[f"synthesis.b{blocks[-1]}.torgb.weight"][0],
            classes=embedding[1],
            noise_from=noisy.index(True) if any(noisy) else len(blocks),
            clamp=clamp,
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError("not the layout of a StyleGAN2 generator") from error


def read_discriminator_config(
    shapes: Shapes, *, constant: tuple[int, int] = (FIRST, FIRST), clamp: float | None = None
) -> DiscriminatorConfig:
    """Return the config of a discriminator from the shapes of its state dict. Raises ValueError for another network.

    `constant` is the size of the smallest features, which is that of the generator's constant.
    """
    try:
        blocks = _find_blocks({**shapes, f"b{FIRST}.conv1.weight": ()}, r"b(\d+)\.conv1\.weight")
        last = shapes[f"b{FIRST}.conv.weight"][0]
        if shapes[f"b{FIRST}.fc.weight"][1] != last * constant[0] * constant[1]:
            raise ValueError
        widths = (last, *(shapes[f"b{size}.conv0.weight"][0] for size in blocks[1:]))
        classes = shapes["mapping.embed.weight"][1] if "mapping.embed.weight" in shapes else 0
        return DiscriminatorConfig(
            widths=widths,
            constant=constant,
            channels=shapes[f"b{blocks[-1]}.fromrgb.weight"][1],
            classes=classes,
            label_size=shapes[f"b{FIRST}.out.weight"][0] if classes else 0,
            mapping_layers=_count(shapes, r"mapping\.fc(\d+)\.weight"),
            clamp=clamp,
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError("not the layout of a StyleGAN2 discriminator") from error


def _find_blocks(shapes: Shapes, pattern: str) -> list[int]:
    """Return the sizes in names that match a pattern, ascending; each must be twice the one before."""
    sizes = sorted({int(found[1]) for name in shapes if (found := re.fullmatch(pattern, name))})
    if sizes != [FIRST * 2**number for number in range(len(sizes))] or not sizes:
        raise ValueError
    return sizes


def _count(shapes: Shapes, pattern: str) -> int:
    return sum(1 for name in shapes if re.fullmatch(pattern, name))


def _normalize(values: Tensor) -> Tensor:
    return values * (values.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
