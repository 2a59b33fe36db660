"""Networks of other programs equal these programs, or a plain formulation of them."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from plugins.gan_art.formats import spectral_norm
from plugins.gan_art.networks.biggan import build_biggan, cut_normal
from plugins.gan_art.networks.lightweight_gan import Generator as LightweightGan
from plugins.gan_art.networks.lightweight_gan import build_lightweight_gan
from plugins.gan_art.networks.lucidrains_stylegan2 import build_lucidrains_stylegan2
from plugins.gan_art.networks.progressive_gan import Generator as ProgressiveGan
from plugins.gan_art.networks.progressive_gan import build_progressive_gan
from plugins.gan_art.networks.r3gan import build_r3gan
from tests.plugins.gan_art.fixtures import foreign_weights
from tests.plugins.gan_art.fixtures.foreign_weights import fill, make_latents


def sample(images: Tensor) -> list[float]:
    """Return the mean, the standard deviation and three pixels of images [2, 3, h, w]."""
    pixels = images[0, 0, 0, 0], images[0, 1, 9, 5], images[1, 2, -2, 7]
    return [float(value) for value in (images.mean(), images.std(), *pixels)]


def synthesize(network: LightweightGan | ProgressiveGan, latents: Tensor) -> Tensor:
    with torch.inference_mode():
        return network.eval().synthesize(network.map_latents(latents), "none")


@pytest.mark.parametrize(
    ("frequencies", "expected"),
    [
        (False, [-0.36936, 0.64419, 0.87874, -0.24961, -1.19832]),
        (True, [0.19384, 0.16889, 0.0344, 0.42253, 0.09929]),
    ],
)
def test_lightweight_gan_equals_its_program(frequencies: bool, expected: list[float]) -> None:
    """The numbers are those of lightweight-gan 1.2.1 with the same weights and without noise."""
    weights = fill(foreign_weights.list_lightweight_gan(frequencies=frequencies))
    images = synthesize(build_lightweight_gan(weights, None, {}), make_latents(16))
    assert sample(images) == pytest.approx(expected, abs=2e-5)


def test_stylegan2_pytorch_equals_its_program() -> None:
    """The numbers are those of stylegan2-pytorch 1.9.0 with the same weights and uniform noise."""
    weights = fill(foreign_weights.list_stylegan2_pytorch()) | {"w_avg": torch.zeros(16)}
    network = build_lucidrains_stylegan2(weights, None, {}).eval()
    with torch.inference_mode():
        images = network.synthesize(network.map_latents(make_latents(16)), torch.Generator().manual_seed(5))
    assert sample(images) == pytest.approx([0.8375, 4.32339, 9.16673, 3.65041, -1.67008], abs=1e-4)


@pytest.mark.parametrize(
    ("truncation", "expected"),
    [
        (1.0, [-0.20178, 0.5589, -0.9603, -0.46688, 0.9287]),
        (0.5, [-0.2037, 0.59523, -0.92251, -0.30359, 0.86184]),
    ],
)
def test_biggan_equals_its_program(truncation: float, expected: list[float]) -> None:
    """The numbers are those of pytorch-pretrained-biggan 0.1.1 with the same weights."""
    network = build_biggan(fill(foreign_weights.list_biggan()), None, {}).eval()
    styles = torch.cat([make_latents(8), network.embed_labels(torch.eye(3)[:2])], 1)
    with torch.inference_mode():
        images = network.generator(styles, torch.full((2,), truncation))
    assert sample(images) == pytest.approx(expected, abs=5e-5)


def test_biggan_takes_the_statistics_of_its_truncation() -> None:
    network = build_biggan(fill(foreign_weights.list_biggan(latent=64)), None, {})
    used: list[float] = []
    network.generator.register_forward_pre_hook(lambda _, given: used.append(float(given[1].mean())))
    with torch.inference_mode():
        latents = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
        styles = network.map_latents(latents, torch.eye(3)[[0] * 64])
        assert styles[:, 0, :64].abs().max() < 2
        for psi in (1.0, 0.4):
            network.synthesize(torch.cat([styles[:, :, :64] * psi, styles[:, :, 64:]], dim=2))
    assert used == pytest.approx([1.0, 0.4], abs=0.05)
    assert cut_normal(torch.tensor([-9.0, 0, 9])).tolist() == pytest.approx([-2, 0, 2], abs=1e-4)


def test_r3gan_equals_its_formula() -> None:
    torch.manual_seed(0)
    prefix = "Model.MainLayers"
    taps = torch.tensor([1.0, 3, 3, 1])
    weights = {
        f"{prefix}.0.Layers.0.Basis": torch.randn(8, 4, 4),
        f"{prefix}.0.Layers.0.LinearLayer.weight": torch.randn(8, 6),
        f"{prefix}.1.Layers.0.LinearLayer.Layer.weight": torch.randn(4, 8, 1, 1),
        f"{prefix}.1.Layers.0.Resampler.Kernel": torch.outer(taps, taps) / 64,
        "Model.AggregationLayer.Layer.weight": torch.randn(3, 4, 1, 1),
        "Model.EmbeddingLayer.weight": torch.randn(2, 3),
    }
    for stage, width in ((0, 8), (1, 4)):
        layer = f"{prefix}.{stage}.Layers.1"
        shapes = ((2 * width, width, 1, 1), (2 * width, 2, 3, 3), (width, 2 * width, 1, 1))
        for number, shape in enumerate(shapes, 1):
            weights[f"{layer}.LinearLayer{number}.Layer.weight"] = torch.randn(shape) * 0.3
        for number in (1, 2):
            weights[f"{layer}.NonLinearity{number}.Bias"] = torch.randn(2 * width)
    network = build_r3gan(weights, None, {}).eval()
    assert (network.latent_size, network.classes, network.image_size) == (4, 3, (8, 8))
    latents, labels = torch.randn(2, 4), torch.eye(3)[[2, 0]]
    with torch.inference_mode():
        images = network.synthesize(network.map_latents(latents, labels))
    style = torch.cat([latents, labels @ weights["Model.EmbeddingLayer.weight"].T], 1)
    x = (style @ weights[f"{prefix}.0.Layers.0.LinearLayer.weight"].T)[:, :, None, None] * next(iter(weights.values()))
    x = add_block(x, weights, f"{prefix}.0.Layers.1")
    x = functional.conv2d(x, weights[f"{prefix}.1.Layers.0.LinearLayer.Layer.weight"])
    inserted = torch.zeros(2, 4, 8, 8)
    inserted[:, :, ::2, ::2] = x
    kernel = weights[f"{prefix}.1.Layers.0.Resampler.Kernel"] * 4
    x = functional.conv2d(functional.pad(inserted, (2, 1, 2, 1)), kernel.expand(4, 1, 4, 4), groups=4)
    x = add_block(x, weights, f"{prefix}.1.Layers.1")
    x = functional.conv2d(x, weights["Model.AggregationLayer.Layer.weight"])
    assert torch.allclose(images, x, atol=1e-4)
    assert network.mean_style[:, :4].eq(0).all()


def add_block(x: Tensor, weights: dict[str, Tensor], layer: str) -> Tensor:
    def activate(values: Tensor, number: int) -> Tensor:
        return functional.leaky_relu(values + weights[f"{layer}.NonLinearity{number}.Bias"][:, None, None], 0.2)

    first, second, third = (weights[f"{layer}.LinearLayer{number}.Layer.weight"] for number in (1, 2, 3))
    groups = first.shape[0] // second.shape[1]
    hidden = activate(functional.conv2d(x, first), 1)
    hidden = activate(functional.conv2d(hidden, second, padding=1, groups=groups), 2)
    return x + functional.conv2d(hidden, third)


def test_progressive_gan_equals_its_formula() -> None:
    torch.manual_seed(0)
    shapes = {
        "formatLayer": (16 * 4, 5),
        "groupScale0.0": (4, 4, 3, 3),
        "scaleLayers.0.0": (6, 4, 3, 3),
        "scaleLayers.0.1": (6, 6, 3, 3),
        "toRGBLayers.1": (3, 6, 1, 1),
    }
    weights = {f"{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": torch.randn(shape[0]) for name, shape in shapes.items()}
    latents = torch.randn(2, 5)
    images = synthesize(build_progressive_gan(weights, None, {}), latents)

    def apply(x: Tensor, name: str) -> Tensor:
        weight = weights[f"{name}.weight"]
        scale = math.sqrt(2 / weight[0].numel())
        if weight.ndim == 2:
            return functional.linear(x, weight, weights[f"{name}.bias"]) * scale
        return functional.conv2d(x, weight, weights[f"{name}.bias"], padding="same") * scale

    def finish(x: Tensor) -> Tensor:
        x = functional.leaky_relu(x, 0.2)
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()

    x = latents / (latents.square().mean(1, keepdim=True) + 1e-8).sqrt()
    x = functional.leaky_relu(apply(x, "formatLayer"), 0.2).view(2, 4, 4, 4)
    x = finish(apply(x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt(), "groupScale0.0"))
    x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    x = finish(apply(finish(apply(x, "scaleLayers.0.0")), "scaleLayers.0.1"))
    assert torch.allclose(images, apply(x, "toRGBLayers.1"), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "width", "outputs"), [(nn.Conv2d, 3, 5), (nn.ConvTranspose2d, 4, 6), (nn.ConvTranspose2d, 4, 4)]
)
@pytest.mark.parametrize("missing", ["", "weight_v"])
def test_spectral_norm_is_folded(kind: type[nn.Conv2d], width: int, outputs: int, missing: str) -> None:
    torch.manual_seed(0)
    layer = kind(width, outputs, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is named as outdated, but files were written with it
        nn.utils.spectral_norm(layer, n_power_iterations=50)
        layer(torch.randn(1, width, 6, 6))
        state = {key: value.detach().clone() for key, value in layer.state_dict().items() if key != missing}
        nn.utils.remove_spectral_norm(layer)
    assert torch.allclose(spectral_norm.fold(state)["weight"], layer.weight, atol=1e-4)


def test_spectral_norm_of_newer_versions_is_folded() -> None:
    layer = nn.Linear(3, 4)
    nn.utils.parametrizations.spectral_norm(layer).eval()
    folded = spectral_norm.fold({key: value.detach() for key, value in layer.state_dict().items()})
    assert folded.keys() == {"weight", "bias"}
    assert torch.allclose(folded["weight"], layer.weight, atol=1e-6)
