"""StyleGAN3 has the properties that its paper is about, and its layers equal a direct formulation."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from plugins.gan_art.networks import filtered_layers
from plugins.gan_art.networks.filtered_layers import FilteredConv, LayerShape
from plugins.gan_art.networks.stylegan3 import Generator, build_stylegan3
from tests.plugins.gan_art.fixtures.stylegan3_weights import make_weights

SIDE, MARGIN = 32, 8


def build(radial: bool) -> Generator:
    torch.manual_seed(0)
    return build_stylegan3(make_weights(SIDE, radial=radial, layers=8, widths=(256, 8)), 256.0, {}).eval()


def measure_psnr(one: Tensor, other: Tensor) -> float:
    return 10 * math.log10(float(one.square().mean() / (one - other).square().mean()))


@pytest.mark.parametrize("radial", [False, True])
def test_moving_the_input_moves_the_image(radial: bool) -> None:
    """An error in a filter, in padding or in the order of pixels would break this."""
    generator = build(radial)
    with torch.inference_mode():
        styles = generator.map_latents(torch.randn(1, generator.latent_size))
        still = generator.synthesize(styles)
        for pixels, least in ((4, 80), (3, 45)):
            generator.synthesis.input.transform[0, 2] = -pixels / SIDE
            moved = generator.synthesize(styles)
            inner, edge = slice(MARGIN, -MARGIN), MARGIN + pixels
            assert measure_psnr(still[..., inner, MARGIN:-edge], moved[..., inner, edge:-MARGIN]) > least
            assert measure_psnr(still[..., inner, edge:-MARGIN], moved[..., inner, MARGIN:-edge]) < 20


def test_rotating_the_input_rotates_the_image_of_the_r_variant() -> None:
    generator = build(True)
    with torch.inference_mode():
        styles = generator.map_latents(torch.randn(1, generator.latent_size))
        still = generator.synthesize(styles)
        generator.synthesis.input.transform.copy_(torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]))
        assert measure_psnr(torch.rot90(still, 1, (2, 3)), generator.synthesize(styles)) > 80


@pytest.mark.parametrize("radial", [False, True])
def test_a_layer_equals_its_direct_formulation(radial: bool) -> None:
    torch.manual_seed(1)
    down_taps = (12, 12) if radial else (12,)
    shape = LayerShape(2, 3, 3, input_size=12, size=20, up_taps=(24,), down_taps=down_taps)
    layer = FilteredConv(shape, 4, clamp=0.9)
    layer.register_buffer("up_filter", torch.rand(24))
    layer.register_buffer("down_filter", torch.rand(down_taps) / 20)
    layer.magnitude_ema.fill_(2.5)
    images, style = torch.randn(1, 2, 12, 12), torch.randn(1, 4)
    with torch.inference_mode():
        assert torch.allclose(layer(images, style), formulate(layer, images, style), atol=1e-5)


def formulate(layer: FilteredConv, images: Tensor, style: Tensor) -> Tensor:
    """Compute a layer with modulated weights, inserted zeros, and sums over the taps of its filters."""
    scales = layer.affine(style)[0]
    weight = layer.weight / layer.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    weight = weight * (scales / scales.square().mean().sqrt())[None, :, None, None]
    weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt() / layer.magnitude_ema.sqrt()
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    convolved = torch.nn.functional.conv2d(padded, weight) + layer.bias[None, :, None, None]
    side, up, down = convolved.shape[2], layer.shape.up, layer.shape.down
    before, after = layer.shape.padding
    inserted = torch.zeros(1, 3, side * up, side * up)
    inserted[:, :, ::up, ::up] = convolved
    inserted = torch.nn.functional.pad(inserted, (before, after, before, after))
    assert layer.up_filter is not None
    assert layer.down_filter is not None
    raised = sum_taps(inserted, torch.outer(layer.up_filter, layer.up_filter) * up**2)
    activated = torch.where(raised > 0, raised, raised * 0.2) * math.sqrt(2)
    taps = layer.down_filter
    lowered = sum_taps(activated.clamp(-0.9, 0.9), taps if taps.ndim == 2 else torch.outer(taps, taps))
    return lowered[:, :, ::down, ::down]


def sum_taps(images: Tensor, taps: Tensor) -> Tensor:
    """Convolve [n, c, h, w] by a sum of moved images."""
    height, width = images.shape[2] - len(taps) + 1, images.shape[3] - len(taps) + 1
    total = torch.zeros(*images.shape[:2], height, width)
    for row, column in itertools.product(range(len(taps)), repeat=2):
        total += taps[-1 - row, -1 - column] * images[:, :, row : row + height, column : column + width]
    return total


def test_sizes_of_layers_follow_from_their_names() -> None:
    shape = LayerShape(8, 8, 3, input_size=36, size=52, up_taps=(24,), down_taps=(12,))
    assert (shape.up, shape.down) == (4, 2)
    images = filtered_layers.raise_rate(torch.ones(1, 1, 38, 38), torch.ones(24), 4, *shape.padding)
    assert filtered_layers.lower_rate(images, torch.ones(12), 2).shape == (1, 1, 52, 52)


@pytest.mark.parametrize("taps", [(7,), (0,), (12, 6), (12, 12, 12)])
def test_filters_of_an_unknown_length_are_refused(taps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="unknown length"):
        LayerShape(8, 8, 3, 36, 36, up_taps=taps)


def test_each_class_of_stylegan_xl_has_a_mean_style() -> None:
    torch.manual_seed(0)
    generator = build_stylegan3(make_weights(16, layers=6, classes=3, embedding=5), None, {})
    assert (generator.classes, generator.latent_size) == (3, 6)
    assert generator.mean_style.shape == (3, generator.style_size)
    with torch.inference_mode():
        styles = generator.map_latents(torch.randn(3, 6), torch.eye(3))
        assert generator.synthesize(styles).shape == (3, 3, 16, 16)
        assert not torch.allclose(styles[0], generator.map_latents(torch.zeros(1, 6), torch.eye(3)[1:2])[0])
