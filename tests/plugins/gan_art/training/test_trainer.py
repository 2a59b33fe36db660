"""The adversarial training: equal after a kill, with memory saved in parts, and back after a collapse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins.gan_art.networks import fastgan, stylegan2
from plugins.gan_art.networks.image_decoder import ImageDecoder
from plugins.gan_art.training import augmentation
from plugins.gan_art.training.data import ImageSet, TrainingData
from plugins.gan_art.training.trainer import GanTraining, Hyperparameters
from studio import api

HYPER = Hyperparameters(steps=20, batch=4, augmentation_probability=0.5, seed=3)


def build_training(folder: Path, hyper: Hyperparameters = HYPER, classes: int = 2) -> GanTraining:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    rng = np.random.default_rng(1)

    def make(count: int) -> ImageSet:
        return ImageSet(rng.integers(0, 256, (count, 16, 16, 3), np.uint8), rng.integers(0, 2, count))

    generator = stylegan2.Generator(stylegan2.GeneratorConfig(8, 8, 2, (8, 8, 4), classes=classes, noise_from=1))
    critic = stylegan2.DiscriminatorConfig((8, 8, 4), classes=classes, label_size=4 if classes else 0)
    names = ("red", "blue") if classes else ()
    data = TrainingData(make(12), make(4), names)
    return GanTraining(generator, stylegan2.Discriminator(critic), data, hyper, folder)


def read_weights(training: GanTraining) -> dict[str, torch.Tensor]:
    networks = {"g": training.generator, "d": training.discriminator, "e": training.ema, "a": training.augmentation}
    return {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}


@pytest.mark.parametrize(("loss", "classes"), [("relativistic", 2), ("logistic", 0)])
def test_a_killed_and_resumed_training_equals_an_unkilled_one(loss: str, classes: int, tmp_path: Path) -> None:
    hyper = replace(HYPER, loss=loss)  # type: ignore[arg-type]
    whole = build_training(tmp_path / "whole", hyper, classes)
    for _ in range(12):
        whole.step()
    before = build_training(tmp_path / "killed", hyper, classes)
    for number in range(9):
        before.step()
        if number == 6:
            before.save()  # the steps after it are lost
    after = build_training(tmp_path / "killed", hyper, classes)
    assert after.resume()
    assert after.state.step == 7
    for _ in range(5):
        after.step()
    expected, resumed = read_weights(whole), read_weights(after)
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def build_fastgan(folder: Path) -> GanTraining:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    pixels = np.random.default_rng(1).integers(0, 256, (12, 16, 16, 3), np.uint8)
    images = ImageSet(pixels, np.zeros(12, np.int64))
    critic = stylegan2.Discriminator(stylegan2.DiscriminatorConfig((8, 8, 4)))
    generator = fastgan.create_generator(8, 16, 2, 3)
    return GanTraining(generator, critic, TrainingData(images, images), HYPER, folder, ImageDecoder(8, 3, 16))


def test_a_resumed_fastgan_equals_an_unkilled_one_and_its_decoder_learns(tmp_path: Path) -> None:
    whole, before = build_fastgan(tmp_path / "whole"), build_fastgan(tmp_path / "killed")
    start = [value.clone() for value in whole.decoder.parameters()]  # type: ignore[union-attr]
    for _ in range(6):
        whole.step()
    for number in range(4):
        before.step()
        if number == 2:
            before.save()
    after = build_fastgan(tmp_path / "killed")
    assert after.resume()
    for _ in range(3):
        after.step()
    expected, resumed = read_weights(whole), read_weights(after)
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    assert any(not torch.equal(one, other) for one, other in zip(start, whole.decoder.parameters(), strict=True))  # type: ignore[union-attr]


def test_both_networks_learn_and_the_average_follows(tmp_path: Path) -> None:
    training = build_training(tmp_path)
    start = {name: value.clone() for name, value in read_weights(training).items()}
    for _ in range(3):
        training.step()
    moved = {name for name, value in read_weights(training).items() if not torch.equal(value, start[name])}
    for name in ("g.synthesis.b4.const", "g.mapping.embed.weight", "d.b16.fromrgb.weight", "e.synthesis.b4.const"):
        assert name in moved
    assert {"g.mapping.w_avg", "g.synthesis.b8.conv1.noise_const"}.isdisjoint(moved)


def test_a_frozen_part_of_the_discriminator_stays(tmp_path: Path) -> None:
    training = build_training(tmp_path / "first")
    training.discriminator.get_submodule("b16").requires_grad_(False)
    frozen = GanTraining(training.generator, training.discriminator, training.data, HYPER, tmp_path / "first")
    start = {name: value.clone() for name, value in read_weights(frozen).items()}
    for _ in range(3):
        frozen.step()
    moved = {name for name, value in read_weights(frozen).items() if not torch.equal(value, start[name])}
    assert not any(name.startswith("d.b16.") for name in moved)
    assert "d.b8.conv0.weight" in moved


def test_memory_is_saved_in_parts_down_to_pairs(tmp_path: Path) -> None:
    training = build_training(tmp_path, replace(HYPER, batch=8))
    assert training.reduce_memory() == "each batch is computed in 2 parts, with accumulated gradients."
    training.step()
    assert training.reduce_memory()
    assert training.reduce_memory() == ""
    assert training.parts == 4
    training.step()


def test_no_part_of_a_step_is_random(tmp_path: Path) -> None:
    first, second = build_training(tmp_path / "a"), build_training(tmp_path / "b")
    torch.manual_seed(5)
    first.step()
    torch.manual_seed(6)
    second.step()
    weights = read_weights(second)
    assert all(torch.equal(value, weights[name]) for name, value in read_weights(first).items())


def test_the_probability_rises_where_the_discriminator_overfits() -> None:
    rising: Any = augmentation.get_adaptive_augmentation()(0.5)
    for _ in range(30):
        rising.adapt(torch.tensor(2.0), torch.tensor(-1.0), torch.tensor(-2.0), 5000)
    assert float(rising.probability) > 0.6
    falling: Any = augmentation.get_adaptive_augmentation()(0.5)
    for _ in range(30):
        falling.adapt(torch.tensor(2.0), torch.tensor(1.9), torch.tensor(-2.0), 5000)
    assert float(falling.probability) < 0.4


def test_augmentation_is_differentiable_and_leaves_images_at_probability_zero() -> None:
    images = torch.rand(6, 4, 16, 24, requires_grad=True)
    random = torch.Generator().manual_seed(0)
    assert augmentation.augment(images, 0.0, random) is images
    changed = augmentation.augment(images, 1.0, random)
    assert changed.shape == images.shape
    (gradient,) = torch.autograd.grad(changed.sum(), images)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0
    assert not torch.equal(changed[:, 3], images[:, 3])  # transparency is shifted and cut with the colours


def test_the_training_returns_to_its_checkpoint_after_a_nan(tmp_path: Path) -> None:
    training = build_training(tmp_path)
    training.step()
    training.save()
    start = {name: value.clone() for name, value in read_weights(training).items()}
    with torch.no_grad():
        training.discriminator.b4.out.weight.fill_(float("nan"))
    with pytest.raises(api.training.NotFiniteError):
        training.step()
    training.rewind()
    weights = read_weights(training)
    assert all(torch.equal(value, weights[name]) for name, value in start.items())
    assert training.current_learning_rate == pytest.approx(training.schedule.rate_at(1) / 2)
