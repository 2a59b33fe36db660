"""The networks of StyleGAN2: resampling against a direct formulation, configs from shapes, and modulation."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from plugins.gan_art.networks import layers, registry, stylegan2

CONFIG = stylegan2.GeneratorConfig(latent_size=8, style_size=12, mapping_layers=2, widths=(8, 6, 4))
CRITIC = stylegan2.DiscriminatorConfig((8, 6, 4))


def filter_directly(images: Tensor, kernel: Tensor, up: int, down: int, pad: tuple[int, int]) -> Tensor:
    """Insert zeros, pad, convolve and take every `down`-th pixel, one step after the other."""
    count, channels, height, width = images.shape
    spread = torch.zeros(count, channels, height * up, width * up)
    spread[:, :, ::up, ::up] = images
    padded = functional.pad(spread, (pad[0], pad[1], pad[0], pad[1]))
    weight = kernel.flip(0, 1)[None, None].expand(channels, 1, *kernel.shape)
    return functional.conv2d(padded, weight, groups=channels)[:, :, ::down, ::down]


@pytest.mark.parametrize(("up", "down", "pad"), [(1, 1, (1, 2)), (2, 1, (2, 1)), (1, 2, (1, 1)), (2, 1, (3, 0))])
def test_resampling_equals_its_direct_formulation(up: int, down: int, pad: tuple[int, int]) -> None:
    images, kernel = torch.randn(2, 3, 6, 4), torch.randn(4, 4)
    expected = filter_directly(images, kernel, up, down, pad)
    assert torch.allclose(layers.filter_image(images, kernel, up=up, down=down, pad=pad), expected, atol=1e-5)


def test_upsampling_keeps_the_mean_and_equals_the_filter() -> None:
    images = torch.randn(1, 3, 6, 4)
    expected = filter_directly(images, layers.build_filter() * 4, 2, 1, (2, 1))
    assert torch.allclose(layers.upsample(images), expected, atol=1e-5)
    assert torch.allclose(layers.upsample(torch.ones(1, 1, 8, 8))[:, :, 2:-2, 2:-2], torch.ones(1, 1, 12, 12))


@pytest.mark.parametrize("up", [False, True])
def test_modulation_of_the_input_equals_modulated_weights(up: bool) -> None:
    torch.manual_seed(0)
    layer = layers.ModulatedConv(5, 7, 4, up=up)
    images, styles = torch.randn(3, 5, 6, 6), torch.randn(3, 4)
    scales = layer.affine(styles)
    rows = []
    for image, scale in zip(images, scales, strict=True):
        weight = layer.weight * scale[None, :, None, None]
        weight = weight * (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        if up:
            spread = torch.zeros(1, 5, 12, 12)
            spread[0, :, ::2, ::2] = image
            wide = functional.conv2d(functional.pad(spread, (2, 1, 2, 1)), weight.flip(2, 3))
            row = filter_directly(wide, layers.build_filter() * 4, 1, 1, (1, 1))
        else:
            row = functional.conv2d(image[None], weight, padding=1)
        rows.append(functional.leaky_relu(row, 0.2) * math.sqrt(2))
    assert torch.allclose(layer(images, styles), torch.cat(rows), atol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, constant=(4, 6)),
        replace(CONFIG, constant=(6, 4), channels=4, classes=3),
        replace(CONFIG, noise_from=2),
        replace(CONFIG, noise_from=3, mapping_layers=4),
    ],
)
def test_a_generator_is_rebuilt_from_the_shapes_of_its_weights(config: stylegan2.GeneratorConfig) -> None:
    torch.manual_seed(1)
    network = stylegan2.Generator(config)
    built = registry.build_generator("stylegan2", network.state_dict(), options={})
    assert isinstance(built, stylegan2.Generator)
    assert built.config == config
    latents = torch.randn(2, 8)
    labels = torch.eye(3)[:2] if config.classes else None
    images = network(latents, labels)
    assert images.shape == (2, config.channels, 4 * config.constant[0], 4 * config.constant[1])
    assert torch.equal(images, built(latents, labels))


@pytest.mark.parametrize(
    "config", [CRITIC, replace(CRITIC, constant=(4, 6)), replace(CRITIC, channels=4, classes=3, label_size=5)]
)
def test_a_discriminator_is_rebuilt_from_the_shapes_of_its_weights(config: stylegan2.DiscriminatorConfig) -> None:
    torch.manual_seed(1)
    network = stylegan2.Discriminator(config)
    size = 4 * config.constant[0], 4 * config.constant[1]
    built = registry.build_discriminator(network.state_dict(), size)
    assert built.config == config
    labels = torch.eye(3)[:2] if config.classes else None
    images = torch.randn(2, config.channels, *size)
    assert torch.equal(network(images, labels), built(images, labels))


@pytest.mark.parametrize("name", ["synthesis.b4.const", "mapping.fc0.weight", "synthesis.b8.conv1.weight"])
def test_other_weights_are_refused(name: str) -> None:
    weights = stylegan2.Generator(CONFIG).state_dict()
    del weights[name]
    with pytest.raises(ValueError, match="not the layout"):
        registry.build_generator("stylegan2", weights, options={})


def test_noise_is_constant_absent_or_drawn() -> None:
    torch.manual_seed(2)
    network = stylegan2.Generator(CONFIG)
    for name, value in network.named_parameters():
        if name.endswith("noise_strength"):
            value.data.fill_(1.0)
    styles = network.map_latents(torch.randn(1, 8))
    constant = network.synthesize(styles)
    assert torch.equal(constant, network.synthesize(styles))
    assert not torch.allclose(constant, network.synthesize(styles, "none"))
    drawn = network.synthesize(styles, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, network.synthesize(styles, torch.Generator().manual_seed(1)))
    assert not torch.allclose(drawn, network.synthesize(styles, torch.Generator().manual_seed(2)))


def test_the_deviation_of_a_batch_is_that_of_its_groups() -> None:
    layer = layers.MinibatchDeviation()
    equal = layer(torch.ones(4, 2, 3, 3))
    assert equal.shape == (4, 3, 3, 3)
    assert equal[:, 2].abs().max() < 1e-3
    varied = layer(torch.arange(4.0)[:, None, None, None].expand(4, 2, 3, 3))
    assert torch.allclose(varied[:, 2], torch.full((4, 3, 3), float(torch.arange(4.0).std(unbiased=False))))
    assert layer(torch.ones(5, 2, 3, 3)).shape == (5, 3, 3, 3)
