"""The training loop with real networks at a tiny size."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plugins.vae_interpolation.models import networks
from plugins.vae_interpolation.training import metrics, vae_kinds
from plugins.vae_interpolation.training.trainer import KlSchedule, Trainer, build_schedule, divergence
from studio.api.training import LearningRateSchedule


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    model: torch.nn.Module = networks.build_spatial_vae((8, 8), size=16)
    return model


def batch(step: int) -> NDArray[np.float32]:
    chance = np.random.default_rng(step)
    slopes = chance.uniform(-1, 1, (2, 3, 1, 1)).astype(np.float32)
    return slopes * np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 1, 1, 16).repeat(16, axis=2)


def build_trainer(
    folder: Path, batches: Callable[[int], NDArray[np.float32]] = batch, learning_rate: float = 3e-3
) -> Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    schedule = LearningRateSchedule(40, learning_rate, warm_up=5, decay=0.3)
    return Trainer(network(), vae_kinds.SpatialKind(), schedule, batches, folder, kl=KlSchedule(), seed=1, half=False)


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [value.clone() for model in (trainer.model, trainer.ema) for value in model.state_dict().values()]


def test_the_loss_falls(tmp_path: Path) -> None:
    trainer = build_trainer(tmp_path, lambda _: batch(0), learning_rate=1e-2)
    losses = []
    for _ in range(40):
        trainer.step()
        losses.append(trainer.picture_loss)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_killed_and_resumed_equals_unkilled(tmp_path: Path) -> None:
    unkilled = build_trainer(tmp_path / "a")
    for _ in range(8):
        unkilled.step()
    killed = build_trainer(tmp_path / "b")
    for _ in range(5):
        killed.step()
        if killed.state.step == 3:
            killed.save()
    resumed = build_trainer(tmp_path / "b")
    assert resumed.resume()
    assert resumed.state.step == 3
    for _ in range(5):
        resumed.step()
    assert all(torch.equal(left, right) for left, right in zip(weights(unkilled), weights(resumed), strict=True))


ENDLESS = """
import sys
from pathlib import Path

import torch

from test_trainer import build_trainer

torch.set_num_threads(1)
trainer = build_trainer(Path(sys.argv[1]))
while True:
    trainer.step()
    trainer.save()
    print(trainer.state.step, flush=True)
"""


def test_a_kill_while_saving_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    here = Path(__file__)
    paths = os.pathsep.join([str(here.parents[4]), str(here.parent)])
    child = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path / "killed")],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    with child, child.stdout:
        for line in child.stdout:
            if line == "3\n":
                child.kill()
                break
    resumed = build_trainer(tmp_path / "killed")
    assert resumed.resume()
    assert resumed.state.step >= 3
    resumed.step()
    unkilled = build_trainer(tmp_path / "unkilled")
    for _ in range(resumed.state.step):
        unkilled.step()
    assert all(torch.equal(left, right) for left, right in zip(weights(unkilled), weights(resumed), strict=True))


def test_the_best_weights_are_saved_and_restored(tmp_path: Path) -> None:
    trainer = build_trainer(tmp_path)
    images = torch.from_numpy(batch(99).copy())
    for _ in range(10):
        trainer.step()
    good, reconstruction = trainer.evaluate(images)
    assert reconstruction.shape == images.shape
    best = [value.clone() for value in trainer.ema.state_dict().values()]
    with torch.no_grad():
        for value in trainer.ema.parameters():
            value.mul_(3.0)
    worse, _ = trainer.evaluate(images)
    assert worse > good == trainer.best.score
    trainer.best.restore()
    assert all(torch.equal(left, right) for left, right in zip(best, trainer.ema.state_dict().values(), strict=True))


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    schedule = build_schedule(1000, 1.0)
    assert schedule.rate_at(0) == pytest.approx(0.01)
    assert schedule.rate_at(100) == schedule.rate_at(700) == 1.0
    assert schedule.rate_at(850) == pytest.approx(0.5)
    assert schedule.rate_at(1000) == 0.0


def test_kl_weight_warms_up() -> None:
    schedule = KlSchedule(weight=2.0, warm_up=4)
    assert [schedule.weight_at(step) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]


def test_divergence_of_a_standard_normal_is_zero() -> None:
    mean, logvar = torch.zeros(4, 6), torch.zeros(4, 6)
    assert divergence(mean, logvar) == 0
    assert divergence(mean + 2, logvar) == pytest.approx(12.0)
    assert divergence(mean, logvar, free_nats=0.5) == pytest.approx(3.0)


def test_psnr_of_one_level_off() -> None:
    images = torch.full((2, 3, 4, 4), -1.0)
    off = images + 2 / 255
    assert metrics.psnr(off, images).tolist() == pytest.approx([48.13, 48.13], abs=0.01)
