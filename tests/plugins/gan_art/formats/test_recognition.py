"""Networks of other programs give the same images after they were imported."""

from __future__ import annotations

import argparse
import os
import pickle
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from plugins.gan_art.formats.checkpoint_files import read_checkpoint
from plugins.gan_art.formats.foreign_gan import ForeignGan
from plugins.gan_art.formats.recognition import recognise
from plugins.gan_art.networks import registry
from plugins.gan_art.networks.generator import LatentGenerator
from plugins.gan_art.networks.r3gan import build_r3gan
from plugins.gan_art.networks.stylegan3 import build_stylegan3
from studio.api import BadInput
from tests.fuzz.mutations import change_bytes
from tests.plugins.gan_art.fixtures import foreign_pickles, foreign_weights
from tests.plugins.gan_art.fixtures.foreign_pickles import write_persistent, write_plain
from tests.plugins.gan_art.fixtures.original_networks import (
    Dcgan,
    UpsampledDcgan,
    make_discriminator,
    make_fastgan,
    make_stylegan2,
    randomise,
    to_rosinality,
    to_rosinality_discriminator,
)
from tests.plugins.gan_art.fixtures.stylegan3_weights import make_weights

pytestmark = pytest.mark.filterwarnings("ignore:.*spectral_norm.*:FutureWarning", "ignore::DeprecationWarning")
TOLERANCE = 1e-4
"""Largest difference of images in 0..1, far below the step of an 8-bit image."""
PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3, 4])
FILTER = {"synthesis.b8.resample_filter": torch.ones(4, 4)}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def open_gan(path: Path) -> ForeignGan:
    return recognise(read_checkpoint(path))


def build(gan: ForeignGan) -> LatentGenerator:
    network = registry.build_generator(gan.architecture, gan.generator, clamp=gan.clamp, options=gan.options)
    return cast("LatentGenerator", network.eval())


def generate(network: LatentGenerator, latents: Tensor, labels: Tensor | None = None, noise: Any = "const") -> Tensor:
    with torch.no_grad():
        return network.synthesize(network.map_latents(latents, labels), noise).clamp(-1, 1) / 2 + 0.5


def assert_same_images(
    gan: ForeignGan, original: LatentGenerator, labels: Tensor | None = None, tolerance: float = TOLERANCE
) -> None:
    latents = torch.randn(3, original.latent_size)
    expected = generate(original, latents, labels)
    assert expected.std() > 0.01
    assert (generate(build(gan), latents, labels) - expected).abs().max() <= tolerance


@PROTOCOLS
@pytest.mark.parametrize("classes", [0, 3])
def test_stylegan2_ada(protocol: int, classes: int, tmp_path: Path) -> None:
    network = make_stylegan2(classes=classes)
    critic = make_discriminator(classes=classes, label_size=4 if classes else 0, mapping_layers=1 if classes else 0)
    weights = {key: value for key, value in critic.state_dict().items() if key != "mapping.w_avg"}
    facts = {"synthesis.b4.conv1.conv_clamp": 256, "synthesis.b4.conv1.activation": "lrelu", "z_dim": np.int64(6)}
    path = write_persistent(
        tmp_path / "network.pkl", network.state_dict() | FILTER, weights, protocol=protocol, facts=facts
    )
    gan = open_gan(path)
    assert (gan.layout, gan.clamp, gan.notes) == ("StyleGAN2-ADA", 256.0, [])
    assert "License-NC" in gan.licence
    labels = torch.eye(3) if classes else None
    assert_same_images(gan, network, labels)
    assert gan.discriminator is not None
    imported = registry.build_discriminator(gan.discriminator, (16, 16)).eval()
    images = torch.rand(3, 3, 16, 16)
    assert torch.allclose(imported(images, labels), critic(images, labels), atol=1e-5)
    assert not (tmp_path / "MARK").exists()


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    network = make_stylegan2()
    weights = {
        key: value.half().to(memory_format=torch.channels_last) if value.ndim == 4 else value
        for key, value in network.state_dict().items()
    }
    gan = open_gan(write_persistent(tmp_path / "network.pkl", weights))
    assert all(value.dtype == torch.float32 and value.is_contiguous() for value in gan.generator.values())
    assert_same_images(gan, network, tolerance=1 / 255)


def test_grey_images_get_three_channels(tmp_path: Path) -> None:
    network, critic = make_stylegan2(channels=1), make_discriminator(channels=1)
    gan = open_gan(write_persistent(tmp_path / "network.pkl", network.state_dict(), critic.state_dict()))
    latents = torch.randn(2, 6)
    grey, imported = generate(network, latents), generate(build(gan), latents)
    assert torch.allclose(imported, grey.expand(-1, 3, -1, -1), atol=1e-5)
    assert gan.discriminator is not None
    discriminator = registry.build_discriminator(gan.discriminator, (16, 16)).eval()
    assert torch.allclose(discriminator(imported), critic(grey), atol=1e-4)


def test_another_rate_of_the_mapping_network_is_scaled(tmp_path: Path) -> None:
    network = make_stylegan2()
    weights = network.state_dict()
    facts: dict[str, float] = {}
    for number in range(2):
        layer = f"mapping.fc{number}"
        weights[f"{layer}.weight"] = weights[f"{layer}.weight"] / 10
        weights[f"{layer}.bias"] = weights[f"{layer}.bias"] / 10
        facts |= {f"{layer}.weight_gain": 0.1 / weights[f"{layer}.weight"].shape[1] ** 0.5, f"{layer}.bias_gain": 0.1}
    assert_same_images(open_gan(write_persistent(tmp_path / "network.pkl", weights, facts=facts)), network)


def test_a_missing_mean_style_is_measured(tmp_path: Path) -> None:
    network = make_stylegan2()
    weights = {key: value for key, value in network.state_dict().items() if key != "mapping.w_avg"}
    gan = open_gan(write_persistent(tmp_path / "network.pkl", weights))
    assert "4,096 latents" in " ".join(gan.notes)
    with torch.inference_mode():
        expected = network.map_latents(torch.randn(20_000, 6))[:, 0].mean(0)
    assert torch.allclose(build(gan).mean_style[0], expected, atol=0.1)


@PROTOCOLS
@pytest.mark.parametrize("kind", ["t", "r", "conditional", "xl"])
def test_stylegan3(protocol: int, kind: str, tmp_path: Path) -> None:
    classes = 3 if kind in ("conditional", "xl") else 0
    weights = make_weights(
        16, radial=kind == "r", layers=6, widths=(128, 8), classes=classes, embedding=5 if kind == "xl" else 0
    )
    facts: dict[str, Any] = {
        "synthesis.input.size": np.asarray([36, 36]),
        "synthesis.input.bandwidth": np.float64(2.5),
        "synthesis.input.sampling_rate": 16.0,
        "synthesis.L0_36_8.conv_clamp": 0.7,
    }
    options = {"bandwidth": 2.5, "rate": 16.0}
    if kind == "xl":
        facts["mapping.embed_proj.activation"] = "linear"
        options["linear_embedding"] = True
    original = build_stylegan3(weights, 0.7, options).eval()
    suffixed = {key.replace("_filter", "_filter_1") if kind == "xl" else key: value for key, value in weights.items()}
    gan = open_gan(write_persistent(tmp_path / "network.pkl", suffixed, protocol=protocol, facts=facts))
    names = {"t": "StyleGAN3-t", "r": "StyleGAN3-r", "conditional": "StyleGAN3-t", "xl": "StyleGAN-XL"}
    assert (gan.layout, gan.clamp, gan.options) == (names[kind], 0.7, options)
    assert_same_images(gan, original, torch.eye(3) if classes else None)
    assert torch.equal(build(gan).mean_style, original.mean_style)


@PROTOCOLS
def test_r3gan(protocol: int, tmp_path: Path) -> None:
    weights = foreign_weights.fill(foreign_weights.list_r3gan())
    gan = open_gan(write_plain(tmp_path / "network.pkl", weights, protocol=protocol))
    assert gan.layout == "R3GAN"
    assert_same_images(gan, build_r3gan(weights, None, {}).eval())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("average", ["latent_avg", "rows", ""])
def test_rosinality(zipped: bool, average: str, tmp_path: Path) -> None:
    network, critic = make_stylegan2(), make_discriminator()
    content: dict[str, Any] = {
        "g": {key: value * 0 for key, value in to_rosinality(network.state_dict()).items()},
        "g_ema": to_rosinality(network.state_dict()),
        "d": to_rosinality_discriminator(critic.state_dict()),
        "args": argparse.Namespace(size=16, path="data"),
    }
    if average:
        mean = network.mapping.w_avg
        content["latent_avg"] = mean if average == "latent_avg" else mean.repeat(6, 1)
    torch.save(content, tmp_path / "550000.pt", _use_new_zipfile_serialization=zipped)
    gan = open_gan(tmp_path / "550000.pt")
    assert gan.layout == "StyleGAN2 (rosinality)"
    assert_same_images(gan, network)
    assert torch.allclose(build(gan).mean_style[0], network.mapping.w_avg) == bool(average)
    assert gan.discriminator is not None
    images = torch.rand(4, 3, 16, 16)
    imported = registry.build_discriminator(gan.discriminator, (16, 16)).eval()
    assert torch.allclose(imported(images), critic(images), atol=1e-5)


def save_fastgan(network: nn.Module, path: Path, kind: str) -> None:
    state = network.state_dict()
    match kind:
        case "averages":
            averages = [value.detach().clone() for value in network.parameters()]
            broken = {key: value * 0.5 if key.endswith("weight_orig") else value for key, value in state.items()}
            torch.save({"g": broken, "d": {}, "g_ema": averages, "opt_g": {"state": {}}}, path)
        case "parallel":
            torch.save({"g": {f"module.{key}": value for key, value in state.items()}, "d": {}}, path)
        case _:
            torch.save({"g": state, "d": {}}, path)


@pytest.mark.parametrize("kind", ["plain", "parallel", "averages"])
def test_fastgan(kind: str, tmp_path: Path) -> None:
    network = make_fastgan()
    save_fastgan(network, tmp_path / "all_100.pth", kind)
    gan = open_gan(tmp_path / "all_100.pth")
    assert (gan.layout, gan.options) == ("FastGAN", {"normalize": False, "tangent": False})
    assert_images_of(gan, network, 8)


def test_projected_gan(tmp_path: Path) -> None:
    network = make_fastgan()
    state = {f"synthesis.{key}": value for key, value in network.state_dict().items() if "to_128" not in key}
    gan = open_gan(write_plain(tmp_path / "network.pkl", state))
    assert (gan.layout, gan.options["normalize"]) == ("Projected GAN", True)
    assert_images_of(gan, network, 8, lambda z: z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt())


def assert_images_of(
    gan: ForeignGan, network: nn.Module, size: int, prepare: Callable[[Tensor], Tensor] = lambda z: z
) -> None:
    latents = torch.randn(2, size)
    with torch.inference_mode():
        expected = (network(prepare(latents)).clamp(-1, 1) / 2 + 0.5).expand(-1, 3, -1, -1)
    assert expected.std() > 0.005
    assert (generate(build(gan), latents, noise="none") - expected).abs().max() <= TOLERANCE


@pytest.mark.parametrize("channels", [1, 3])
def test_dcgan(channels: int, tmp_path: Path) -> None:
    network = randomise(Dcgan(channels=channels))
    torch.save(network.state_dict(), tmp_path / "netG_epoch_24.pth")
    gan = open_gan(tmp_path / "netG_epoch_24.pth")
    assert gan.layout == "DCGAN"
    assert "ReLU" in gan.notes[0]
    assert_images_of(gan, network, 5)


def test_a_saved_module_is_read_like_its_weights(tmp_path: Path) -> None:
    network = randomise(Dcgan())
    torch.save(network, tmp_path / "generator.pt")
    assert_images_of(open_gan(tmp_path / "generator.pt"), network, 5)


def test_dcgan_of_pytorch_gan(tmp_path: Path) -> None:
    network = randomise(UpsampledDcgan())
    torch.save(network.state_dict(), tmp_path / "generator.pth")
    assert_images_of(open_gan(tmp_path / "generator.pth"), network, 7)


def test_programs_of_lucidrains(tmp_path: Path) -> None:
    weights = foreign_weights.fill(foreign_weights.list_lightweight_gan())
    discriminator = {f"{prefix}.conv.weight": torch.ones(2) for prefix in ("D", "D_aug.D")}
    both = {f"G.{key}": value * 0 for key, value in weights.items()}
    both |= {f"GE.{key}": value for key, value in weights.items()}
    torch.save({"GAN": both | discriminator, "version": "1.2.1"}, tmp_path / "model_3.pt")
    assert_same_images(open_gan(tmp_path / "model_3.pt"), registry_network("lightweight_gan", weights))

    weights = foreign_weights.fill(foreign_weights.list_stylegan2_pytorch())
    both = {f"{key[0]}E{key[1:]}": value for key, value in weights.items()}
    both |= {key: value * 0 for key, value in weights.items()} | discriminator
    torch.save({"GAN": both, "version": "1.9.0"}, tmp_path / "model_4.pt")
    gan = open_gan(tmp_path / "model_4.pt")
    assert gan.layout == "stylegan2-pytorch"
    assert_same_images(gan, registry_network("lucidrains_stylegan2", weights | {"w_avg": torch.zeros(16)}))


def test_progressive_gan_and_biggan(tmp_path: Path) -> None:
    plain = foreign_weights.fill(foreign_weights.list_progressive_gan())
    smaller = {"toRGBLayers.0.weight": torch.ones(3, 4, 1, 1), "toRGBLayers.0.bias": torch.ones(3)}
    weights = {".module.".join(key.rsplit(".", 1)): value for key, value in (plain | smaller).items()}
    averages = {f"module.{key}": value for key, value in weights.items()}
    config = argparse.Namespace(depth=2)
    torch.save({"avgG": averages, "netG": {}, "netD": {}, "config": config}, tmp_path / "celebaHQ.pth")
    gan = open_gan(tmp_path / "celebaHQ.pth")
    assert_same_images(gan, registry_network("progressive_gan", plain))

    weights = foreign_weights.fill(foreign_weights.list_biggan())
    torch.save(weights, tmp_path / "pytorch_model.bin")
    gan = open_gan(tmp_path / "pytorch_model.bin")
    assert "Apache-2.0" in gan.licence
    assert_same_images(gan, registry_network("biggan", weights), torch.eye(3))


def registry_network(architecture: str, weights: Mapping[str, Tensor]) -> LatentGenerator:
    return cast("LatentGenerator", registry.build_generator(architecture, weights, options={}).eval())


LINEAR = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
GREY_LINEAR = nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 784))
CRITIC = nn.Sequential(nn.Conv2d(3, 8, 4), nn.Conv2d(8, 1, 4))
MIXED = nn.Sequential(nn.ConvTranspose2d(5, 8, 4), nn.ConvTranspose2d(8, 6, 3), nn.ConvTranspose2d(6, 3, 4))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"epoch": 3}, "holds no weights"),
        (LINEAR.state_dict(), "makes 2 numbers and no image"),
        (GREY_LINEAR.state_dict(), r"unknown layout \(0.weight 8 × 5"),
        (CRITIC.state_dict(), "is a discriminator"),
        (MIXED.state_dict(), "unknown layout"),
        ({"synthesis.b4.const": torch.ones(4, 4, 4)}, "a variant that the studio does not know"),
        ({"synthesis.input.freqs": torch.ones(4, 2)}, "a variant that the studio does not know"),
        ({"Model.MainLayers.0.Layers.0.Basis": torch.ones(4, 4, 4)}, "a variant that the studio does not know"),
        ({"main.0.weight": torch.full((4, 4, 4, 4), torch.nan)}, "unknown layout"),
        ({"init.init.0.weight_orig": torch.ones(2, 2, 4, 4), "to_big.weight": torch.ones(1)}, "a variant"),
    ],
)
def test_everything_else_is_told_in_a_sentence(content: Any, sentence: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(BadInput, match=sentence):
        open_gan(tmp_path / "a.pth")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    weights = make_stylegan2().state_dict()
    weights["synthesis.b8.conv0.weight"].fill_(torch.inf)
    with pytest.raises(BadInput, match="not finite"):
        open_gan(write_persistent(tmp_path / "network.pkl", weights))


def test_a_hostile_snapshot_is_refused(tmp_path: Path) -> None:
    class Program:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'MARK'}",)

    module = foreign_pickles.build_module(make_stylegan2().state_dict(), "Generator", "import os")
    module.state["hook"] = Program()
    with foreign_pickles.stand_ins():
        (tmp_path / "network.pkl").write_bytes(pickle.dumps({"G_ema": module}))
    with pytest.raises(BadInput, match=rf"asks for {os.system.__module__}\.system"):
        open_gan(tmp_path / "network.pkl")
    assert not (tmp_path / "MARK").exists()


@pytest.mark.parametrize("write", [write_persistent, write_plain])
def test_a_damaged_snapshot_is_bad_input_and_nothing_else(write: Any, tmp_path: Path) -> None:
    plain = foreign_weights.fill(foreign_weights.list_r3gan())
    weights = plain if write is write_plain else make_stylegan2(widths=(2, 2)).state_dict()
    content = write(tmp_path / "good.pkl", weights).read_bytes()
    chance, damaged = random.Random(3), tmp_path / "damaged.pkl"
    for _ in range(25):
        damaged.write_bytes(change_bytes(content, chance))
        assert read_sentence(damaged).isprintable()


def read_sentence(path: Path) -> str:
    """Return what a file is refused with; empty where it is read."""
    try:
        open_gan(path)
    except BadInput as error:
        return str(error)
    return ""
