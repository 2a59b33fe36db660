"""Features and style weights of every architecture can be reached, so that bending, dragging and SeFa work on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from plugins.gan_art.editing import directions, features
from plugins.gan_art.models.gan_model import GanConfig, GanModel
from plugins.gan_art.networks import registry
from tests.plugins.gan_art.fixtures import foreign_weights
from tests.plugins.gan_art.fixtures.foreign_weights import fill
from tests.plugins.gan_art.fixtures.original_networks import UpsampledDcgan, make_stylegan2, randomise
from tests.plugins.gan_art.fixtures.stylegan3_weights import make_weights


def make_lucidrains() -> dict[str, Tensor]:
    return fill(foreign_weights.list_stylegan2_pytorch()) | {"w_avg": torch.zeros(16)}


CASES: dict[str, tuple[str, Callable[[], dict[str, Tensor]], list[int]]] = {
    "StyleGAN2": ("stylegan2", lambda: make_stylegan2().state_dict(), [4, 8, 16]),
    "StyleGAN3": ("stylegan3", lambda: make_weights(32, layers=8, widths=(256, 8)), [16, 32]),
    "R3GAN": ("r3gan", lambda: fill(foreign_weights.list_r3gan()), [4, 8]),
    "FastGAN": ("fastgan", lambda: fill(foreign_weights.list_fastgan()), [8, 16, 32, 64, 128, 256]),
    "lightweight-gan": ("lightweight_gan", lambda: fill(foreign_weights.list_lightweight_gan(widths=(8, 8))), [8, 16]),
    "stylegan2-pytorch": ("lucidrains_stylegan2", make_lucidrains, [4, 8, 16]),
    "Progressive GAN": ("progressive_gan", lambda: fill(foreign_weights.list_progressive_gan()), [4, 8]),
    "BigGAN": ("biggan", lambda: fill(foreign_weights.list_biggan()), [4, 8, 16, 32, 64]),
    "DCGAN": ("dcgan", lambda: fill(foreign_weights.list_dcgan()), [4, 8]),
    "PyTorch-GAN": ("dcgan", lambda: randomise(UpsampledDcgan()).state_dict(), [6, 12]),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[GanModel, list[int]]:
    torch.manual_seed(0)
    architecture, make, sizes = CASES[request.param]
    network: Any = registry.build_generator(architecture, make(), options={}).eval().requires_grad_(False)
    return GanModel(network, request.param, GanConfig(architecture)), sizes


def test_features_can_be_read_and_changed(case: tuple[GanModel, list[int]]) -> None:
    model, sizes = case
    assert features.list_sizes(model) == sizes
    styles = model.map_latents(torch.randn(1, model.generator.latent_size), [0] * (model.generator.classes > 0))
    plain = model.synthesize(styles)
    with features.record_features(model, sizes[-1]) as recorded:
        assert torch.equal(model.synthesize(styles), plain)
    assert recorded[0].shape[2:] == (sizes[-1], sizes[-1])
    with features.change_features(model, sizes[0], lambda values: values.flip(3)):
        assert not torch.allclose(model.synthesize(styles), plain, atol=1e-3)


def test_style_weights_have_a_row_for_each_input_and_give_directions(case: tuple[GanModel, list[int]]) -> None:
    model, _ = case
    generator: Any = model.generator
    weights = generator.list_style_weights()
    assert len(weights) == generator.layer_count
    assert all(weight.shape[1] == generator.style_size for weight in weights)
    found = directions.find_candidates(model, "sefa", "all", 2, 0)
    assert [tuple(direction.shape) for direction in found] == [(generator.layer_count, generator.style_size)] * 2
