"""Each kind of training at a tiny size: its loss falls, and a kill does not change the result."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plugins.style_transfer.models import generators
from plugins.style_transfer.training import cut, cyclegan, discriminators, few_paintings, pix2pix
from plugins.style_transfer.training.base import Hyperparameters, StyleTraining
from plugins.style_transfer.training.metrics import Holdout

SIZE = 32
STEPS = int(os.environ.get("STYLE_STEPS", "12"))
Create = Callable[[Path, int], StyleTraining]


def make_batches(stream: int, count: int = 2) -> Callable[[int], NDArray[np.float32]]:
    """Return batches of smooth images, warm ones in stream 1, that repeat after two steps."""

    def load_batch(step: int) -> NDArray[np.float32]:
        rng = np.random.default_rng((stream, step % 2))
        coarse = rng.uniform(-0.6, 0.6, (count, 3, 8, 8)).astype(np.float32)
        coarse += np.array([0.4, 0.0, -0.4], np.float32)[:, None, None] * stream
        return np.clip(coarse.repeat(SIZE // 8, 2).repeat(SIZE // 8, 3), -1, 1)

    return load_batch


def build_generator() -> torch.nn.Module:
    return generators.build_resnet(2, 8, upsampling="resize", separable=True)


def build_discriminator() -> torch.nn.Module:
    return discriminators.build_patch_discriminator(8, 2)


def create_cyclegan(folder: Path, steps: int) -> StyleTraining:
    networks = cyclegan.Networks(build_generator(), build_generator(), build_discriminator(), build_discriminator())
    hyper = Hyperparameters(steps, 2e-3, seed=3)
    return cyclegan.CycleGan(networks, make_batches(0), make_batches(1), hyper, folder, size=SIZE, pool=3)


def create_cut(folder: Path, steps: int) -> StyleTraining:
    return cut.Cut(
        build_generator(),
        build_discriminator(),
        make_batches(0),
        make_batches(1),
        Hyperparameters(steps, 2e-3, seed=3),
        folder,
    )


def create_few_paintings(folder: Path, steps: int) -> StyleTraining:
    return few_paintings.FewPaintings(
        build_generator(), make_batches(0), make_batches(1), Hyperparameters(steps, 5e-3, seed=3), folder
    )


def create_pix2pix(folder: Path, steps: int) -> StyleTraining:
    photos = make_batches(0)
    network = generators.build_network({"network": "pattern", "blocks": 1, "width": 8})
    hyper = Hyperparameters(steps, 5e-3, seed=3)
    pairs = lambda step: (photos(step), -photos(step))  # noqa: E731 - read best in one line
    return pix2pix.Pix2Pix(network, build_discriminator(), pairs, hyper, folder, adversarial_weight=0.1)


KINDS = pytest.mark.parametrize("create", [create_cyclegan, create_cut, create_few_paintings, create_pix2pix])


def start(create: Create, folder: Path, steps: int) -> StyleTraining:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    return create(folder, steps)


@pytest.mark.parametrize(
    ("create", "loss", "ratio"),
    [
        (create_cyclegan, "cycle", 0.8),
        (create_cut, "PatchNCE", 0.9),
        (create_few_paintings, "style", 0.7),
        (create_pix2pix, "pixels", 0.75),
    ],
)
def test_the_loss_falls(create: Create, loss: str, ratio: float, tmp_path: Path) -> None:
    training = start(create, tmp_path, 30)
    losses = []
    for _ in range(14):
        training.step()
        losses.append(training.losses[loss])
    assert np.mean(losses[-3:]) < ratio * np.mean(losses[:3])


@KINDS
def test_a_kill_does_not_change_the_result(create: Create, tmp_path: Path) -> None:
    straight = start(create, tmp_path / "a", STEPS)
    for _ in range(STEPS):
        straight.step()
    killed = start(create, tmp_path / "b", STEPS)
    for step in range(STEPS // 2 + 2):
        if step == STEPS // 2:
            killed.save()
        killed.step()
    torch.manual_seed(99)
    resumed = create(tmp_path / "b", STEPS)
    assert resumed.resume()
    assert resumed.state.step == STEPS // 2
    while resumed.state.step < STEPS:
        resumed.step()
    for module, expected in ((resumed.generator, straight.generator), (resumed.ema, straight.ema)):
        weights = expected.state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())


@KINDS
def test_the_best_weights_are_kept_and_previewed(create: Create, tmp_path: Path) -> None:
    training = start(create, tmp_path, 4)
    holdout = Holdout(torch.from_numpy(make_batches(0)(0)), torch.from_numpy(make_batches(1)(0)))
    training.step()
    generated = training.evaluate(holdout)
    assert math.isinf(training.best.score) == (training.best_after > 0)
    training.step()
    training.best.score = math.inf
    training.evaluate(holdout)
    best = {name: value.clone() for name, value in training.ema.state_dict().items()}
    assert generated.shape == (2, 3, SIZE, SIZE)
    assert training.build_preview_sheet(holdout, generated).shape[1:] == (384, 3)
    training.best.score = -1.0
    for _ in range(2):
        training.step()
    training.evaluate(holdout)
    step, scores = training.load_best()
    assert step == 2
    assert set(scores) == set(training.scores)
    assert all(torch.equal(value, best[name]) for name, value in training.ema.state_dict().items())


def test_the_learning_rate_is_constant_then_falls() -> None:
    schedule = Hyperparameters(100, 1e-3).build_schedule()
    assert [schedule.rate_at(step) for step in (0, 50, 75, 99)] == pytest.approx([1e-3, 1e-3, 5e-4, 2e-5])


def test_a_pattern_network_learns_a_pattern_on_a_plain_image() -> None:
    """Only a network that knows the position of a pixel can darken every second 8 px square of a plain image."""
    torch.manual_seed(0)
    network = generators.build_network({"network": "pattern", "blocks": 0, "width": 8})
    image = torch.zeros(1, 3, 32, 32)
    target = torch.ones(1, 3, 32, 32)
    target.view(1, 3, 4, 8, 4, 8)[:, :, :, :4, :, :4] = -1
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = (network(image) - target).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.15
