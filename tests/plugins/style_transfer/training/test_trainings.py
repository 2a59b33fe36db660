"""Each kind of training at a tiny size: its loss falls, and a kill costs nothing."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plugins.style_transfer.models import generators
from plugins.style_transfer.training import cut, cyclegan, few_paintings, pix2pix
from plugins.style_transfer.training.base import Plan, StyleTraining
from plugins.style_transfer.training.metrics import HeldOut

SIZE = 32
STEPS = int(os.environ.get("STYLE_STEPS", "12"))
Begin = Callable[[Path, int], StyleTraining]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def batches(stream: int, count: int = 2) -> Callable[[int], NDArray[np.float32]]:
    """Smooth pictures, warm ones in stream 1; four different ones."""

    def batch(step: int) -> NDArray[np.float32]:
        chance = np.random.default_rng((stream, step % 2))
        coarse = chance.uniform(-0.6, 0.6, (count, 3, 8, 8)).astype(np.float32)
        coarse += np.array([0.4, 0.0, -0.4], np.float32)[:, None, None] * stream
        return np.clip(coarse.repeat(SIZE // 8, 2).repeat(SIZE // 8, 3), -1, 1)

    return batch


def painter() -> torch.nn.Module:
    return generators.resnet(2, 8, upsampling="resize", separable=True)


def judge() -> torch.nn.Module:
    return generators.patch_discriminator(8, 2)


def cycle(keep: Path, steps: int) -> StyleTraining:
    parts = cyclegan.Parts(painter(), painter(), judge(), judge())
    plan = Plan(steps, 2e-3, seed=3)
    return cyclegan.CycleGan(parts, batches(0), batches(1), plan, keep, size=SIZE, pool=3)


def one_sided(keep: Path, steps: int) -> StyleTraining:
    return cut.Cut(painter(), judge(), batches(0), batches(1), Plan(steps, 2e-3, seed=3), keep)


def few(keep: Path, steps: int) -> StyleTraining:
    return few_paintings.FewPaintings(painter(), batches(0), batches(1), Plan(steps, 5e-3, seed=3), keep)


def inverted(keep: Path, steps: int) -> StyleTraining:
    photos = batches(0)
    network = generators.build({"network": "pattern", "blocks": 1, "width": 8})
    plan = Plan(steps, 5e-3, seed=3)
    pairs = lambda step: (photos(step), -photos(step))  # noqa: E731 - read best in one line
    return pix2pix.LearntEffect(network, judge(), pairs, plan, keep, adversarial=0.1)


KINDS = pytest.mark.parametrize("begin", [cycle, one_sided, few, inverted])


def begun(begin: Begin, keep: Path, steps: int) -> StyleTraining:
    keep.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    return begin(keep, steps)


@pytest.mark.parametrize(
    ("begin", "loss", "to"),
    [(cycle, "cycle", 0.8), (one_sided, "patches", 0.9), (few, "style", 0.7), (inverted, "pixels", 0.75)],
)
def test_the_loss_falls(begin: Begin, loss: str, to: float, tmp_path: Path) -> None:
    training = begun(begin, tmp_path, 30)
    said = []
    for _ in range(14):
        training.step()
        said.append(training.said[loss])
    assert np.mean(said[-3:]) < to * np.mean(said[:3])


@KINDS
def test_a_kill_costs_nothing(begin: Begin, tmp_path: Path) -> None:
    straight = begun(begin, tmp_path / "a", STEPS)
    for _ in range(STEPS):
        straight.step()
    killed = begun(begin, tmp_path / "b", STEPS)
    for step in range(STEPS // 2 + 2):
        if step == STEPS // 2:
            killed.save()
        killed.step()
    torch.manual_seed(99)
    resumed = begin(tmp_path / "b", STEPS)
    assert resumed.resume()
    assert resumed.state.step == STEPS // 2
    while resumed.state.step < STEPS:
        resumed.step()
    for ours, theirs in ((resumed.painter, straight.painter), (resumed.ema, straight.ema)):
        others = theirs.state_dict()
        assert all(torch.equal(value, others[name]) for name, value in ours.state_dict().items())
    assert np.array_equal(resumed.curves.plot(200), straight.curves.plot(200))


@KINDS
def test_the_best_is_kept_and_shown(begin: Begin, tmp_path: Path) -> None:
    training = begun(begin, tmp_path, 4)
    held = HeldOut(torch.from_numpy(batches(0)(0)), torch.from_numpy(batches(1)(0)))
    training.step()
    painted = training.measure(held)
    assert math.isinf(training.best) == (training.settled > 0)
    training.step()
    training.best = math.inf
    training.measure(held)
    best = {name: value.clone() for name, value in training.ema.state_dict().items()}
    assert painted.shape == (2, 3, SIZE, SIZE)
    assert training.strip(held, painted).shape[1:] == (384, 3)
    training.best = -1.0
    for _ in range(2):
        training.step()
    training.measure(held)
    step, measured = training.take_best()
    assert step == 2
    assert set(measured) == set(training.measured)
    assert all(torch.equal(value, best[name]) for name, value in training.ema.state_dict().items())


def test_the_learning_rate_holds_then_falls() -> None:
    plan = Plan(100, 1e-3)
    assert [plan.rate(step) for step in (0, 50, 75, 99)] == pytest.approx([1e-3, 1e-3, 5e-4, 2e-5])


def test_a_pattern_is_laid_on_a_plain_ground() -> None:
    """Every second 8 px square is dark in a plain picture: only a network that knows where it is can do that."""
    torch.manual_seed(0)
    network = generators.build({"network": "pattern", "blocks": 0, "width": 8})
    plain = torch.zeros(1, 3, 32, 32)
    wanted = torch.ones(1, 3, 32, 32)
    wanted.view(1, 3, 4, 8, 4, 8)[:, :, :, :4, :, :4] = -1
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = (network(plain) - wanted).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.15
