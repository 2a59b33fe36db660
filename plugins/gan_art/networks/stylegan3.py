"""The generators of StyleGAN3 (-t and -r) and StyleGAN-XL, built from the tensors of their weights.

Written from the papers (arXiv:2106.12423, arXiv:2202.00273). State dicts have the names of the published weights:
``mapping.fc0.weight``, ``synthesis.input.freqs``, ``synthesis.L0_36_512.up_filter`` …, in which a layer's name has its
number, its size in px and its channels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from .building import Shapes, build_network
from .filtered_layers import FilteredConv, FourierInput, LayerShape
from .layers import EqualizedLinear, Noise
from .stylegan2 import MAPPING_RATE, MappingNetwork

MARGIN = 10
"""Pixels beyond each edge of the visible image in all layers but the last two."""
WITHOUT_MARGIN = 2
"""Number of the last layers, which have no margin."""
BANDWIDTH = 2.0
"""Highest frequency of the input, in cycles for the visible image."""
OUTPUT_SCALE = 0.25
_LAYER = re.compile(r"synthesis\.(L(\d+)_(\d+)_(\d+))\.weight")


class ClassMapping(nn.Module):
    """The mapping network of StyleGAN-XL: features of a class, learnt elsewhere, are projected beside the latent."""

    w_avg: Tensor

    def __init__(self, latents: int, styles: int, layers: int, embedding: tuple[int, int], projected: int) -> None:
        """Create the network. `embedding` is (classes, features of one)."""
        super().__init__()
        self.latents, self.classes, self.layers = latents, embedding[0], layers
        self.embed = nn.Embedding(*embedding)
        self.embed_proj = EqualizedLinear(embedding[1], projected, activate=True)
        for number in range(layers):
            inputs = styles if number else latents + projected
            self.add_module(f"fc{number}", EqualizedLinear(inputs, styles, rate=MAPPING_RATE, activate=True))
        self.register_buffer("w_avg", torch.zeros(embedding[0], styles))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Map [n, latents] and [n, classes] to styles [n, styles]."""
        features = self.embed_proj(labels.float() @ self.embed.weight)
        values = torch.cat([_normalize(latents.float()), _normalize(features)], dim=1)
        for number in range(self.layers):
            values = self.get_submodule(f"fc{number}")(values)
        return values


class Synthesis(nn.Module):
    """The input and the layers, which turn styles into an image."""

    def __init__(self, source: FourierInput, layers: Mapping[str, FilteredConv]) -> None:
        super().__init__()
        self.input = source
        self.names = [*layers]
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, styles: Tensor) -> Tensor:
        """Return images for styles [n, layers + 1, style size]."""
        features = self.input(styles[:, 0])
        for number, layer in enumerate(self.list_layers(), 1):
            features = layer(features, styles[:, number])
        return cast(Tensor, features) * OUTPUT_SCALE

    def list_layers(self) -> list[FilteredConv]:
        """Return the layers in their order."""
        return [cast(FilteredConv, self.get_submodule(name)) for name in self.names]


class Generator(nn.Module):
    """The generator of StyleGAN3 and StyleGAN-XL. It has no noise."""

    def __init__(self, mapping: MappingNetwork | ClassMapping, synthesis: Synthesis) -> None:
        super().__init__()
        self.mapping, self.synthesis = mapping, synthesis
        last = synthesis.list_layers()[-1]
        self.latent_size = mapping.latents
        self.style_size = last.affine.weight.shape[1]
        self.layer_count = len(synthesis.names) + 1
        self.classes = mapping.classes
        self.channels = last.shape.outputs
        self.image_size = last.shape.size, last.shape.size

    @property
    def mean_style(self) -> Tensor:
        """The mean style, [1, style_size], or that of each class in StyleGAN-XL."""
        return self.mapping.w_avg.reshape(-1, self.style_size)

    def map_latents(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the styles of latents, [n, layer_count, style_size]."""
        styles: Tensor = self.mapping(latents, labels)
        return styles[:, None].expand(-1, self.layer_count, -1)

    def synthesize(self, styles: Tensor, noise: Noise = "const") -> Tensor:  # noqa: ARG002
        """Return images [n, channels, height, width] in about -1..1."""
        images: Tensor = self.synthesis(styles)
        return images

    def list_feature_layers(self) -> list[tuple[int, FilteredConv]]:
        """Return the last layer of each size of the visible image, in px."""
        layers = self.synthesis.list_layers()[:-1]
        return sorted({layer.shape.size - 2 * layer.margin: layer for layer in layers}.items())

    def list_style_weights(self) -> list[Tensor]:
        """Return the weights [inputs, style_size] with which the input and each layer read their style."""
        return [self.synthesis.get_parameter(f"{name}.affine.weight") for name in ("input", *self.synthesis.names)]


def build_stylegan3(weights: Mapping[str, Tensor], clamp: float | None, options: Mapping[str, Any]) -> Generator:
    """Build the generator with these weights.

    The options `bandwidth` and `rate` are those of the input where they are not StyleGAN3's; `linear_embedding` is true
    for a StyleGAN-XL whose projection of class features has no activation. Raises ValueError for weights of another
    network.
    """

    def create(shapes: Shapes) -> Generator:
        return Generator(_build_mapping(shapes, options), _build_synthesis(shapes, clamp, options))

    return build_network(weights, create, "a StyleGAN3 generator")


def _build_mapping(shapes: Mapping[str, tuple[int, ...]], options: Mapping[str, Any]) -> MappingNetwork | ClassMapping:
    layers = sum(1 for key in shapes if re.fullmatch(r"mapping\.fc\d+\.weight", key))
    styles, inputs = shapes["mapping.fc0.weight"]
    if "mapping.embed_proj.weight" in shapes:
        projected = shapes["mapping.embed_proj.weight"][0]
        classes, features = shapes["mapping.embed.weight"]
        mapping = ClassMapping(inputs - projected, styles, layers, (classes, features), projected)
        mapping.embed_proj.activate = not options.get("linear_embedding", False)
        return mapping
    embedded, classes = shapes.get("mapping.embed.weight", (0, 0))
    return MappingNetwork(inputs - embedded, styles, layers, classes)


def _build_synthesis(
    shapes: Mapping[str, tuple[int, ...]], clamp: float | None, options: Mapping[str, Any]
) -> Synthesis:
    found = sorted((match for key in shapes if (match := _LAYER.fullmatch(key))), key=lambda match: int(match[2]))
    style = shapes["synthesis.input.affine.weight"][1]
    first = input_size = int(found[0][3])
    layers = {}
    for match in found:
        name = match[1]
        outputs, inputs, kernel, _ = shapes[match[0]]
        shape = LayerShape(
            inputs, outputs, kernel, input_size, int(match[3]),
            up_taps=shapes.get(f"synthesis.{name}.up_filter", ()),
            down_taps=shapes.get(f"synthesis.{name}.down_filter", ()),
            to_rgb=match is found[-1],
        )  # fmt: skip
        layers[name] = FilteredConv(shape, style, clamp, 0 if match in found[-WITHOUT_MARGIN:] else MARGIN)
        input_size = shape.size
    rate = float(options.get("rate", first - 2 * MARGIN))
    bandwidth = float(options.get("bandwidth", BANDWIDTH))
    source = FourierInput(shapes["synthesis.input.weight"][0], style, first, rate, bandwidth)
    return Synthesis(source, layers)


def _normalize(values: Tensor) -> Tensor:
    return values * (values.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
