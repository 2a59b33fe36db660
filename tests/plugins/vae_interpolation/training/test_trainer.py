"""The training loop with real networks at a tiny size."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from plugins.vae_interpolation.models import networks
from plugins.vae_interpolation.training import trainer as training
from plugins.vae_interpolation.training import vae_kinds


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return networks.spatial_vae((8, 8), size=16)


def batch(step: int) -> np.ndarray:
    chance = np.random.default_rng(step)
    slopes = chance.uniform(-1, 1, (2, 3, 1, 1)).astype(np.float32)
    return slopes * np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 1, 1, 16).repeat(16, axis=2)


def trainer(keep: Path, batches=batch, **schedule) -> training.Trainer:
    keep.mkdir(parents=True, exist_ok=True)
    numbers = training.Schedule(**{"steps": 40, "rate_warm_up": 5, "learning_rate": 3e-3, **schedule})
    return training.Trainer(network(), vae_kinds.Spatial(), numbers, batches, keep, seed=1, half=False)


def weights(one: training.Trainer) -> list[torch.Tensor]:
    return [value.clone() for model in (one.model, one.ema) for value in model.state_dict().values()]


def test_the_loss_falls(tmp_path: Path) -> None:
    one = trainer(tmp_path, lambda _: batch(0), learning_rate=1e-2)
    losses = []
    for _ in range(40):
        one.step()
        losses.append(one.picture)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_killed_and_resumed_equals_unkilled(tmp_path: Path) -> None:
    unkilled = trainer(tmp_path / "a")
    for _ in range(8):
        unkilled.step()
    killed = trainer(tmp_path / "b")
    for _ in range(5):
        killed.step()
        if killed.state.step == 3:
            killed.save()
    resumed = trainer(tmp_path / "b")
    assert resumed.resume()
    assert resumed.state.step == 3
    for _ in range(5):
        resumed.step()
    assert all(torch.equal(left, right) for left, right in zip(weights(unkilled), weights(resumed), strict=True))


ENDLESS = """
import sys
from pathlib import Path

import torch

from test_trainer import trainer

torch.set_num_threads(1)
one = trainer(Path(sys.argv[1]))
while True:
    one.step()
    one.save()
    print(one.state.step, flush=True)
"""


def test_a_kill_in_the_midst_of_saving_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
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
    resumed = trainer(tmp_path / "killed")
    assert resumed.resume()
    assert resumed.state.step >= 3
    resumed.step()
    unkilled = trainer(tmp_path / "unkilled")
    for _ in range(resumed.state.step):
        unkilled.step()
    assert all(torch.equal(left, right) for left, right in zip(weights(unkilled), weights(resumed), strict=True))


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    images = torch.from_numpy(batch(99).copy())
    for _ in range(10):
        one.step()
    good, made = one.held_out_loss(images)
    assert made.shape == images.shape
    best = [value.clone() for value in one.ema.state_dict().values()]
    with torch.no_grad():
        for value in one.ema.parameters():
            value.mul_(3.0)
    worse, _ = one.held_out_loss(images)
    assert worse > good == one.best
    one.take_best()
    assert all(torch.equal(left, right) for left, right in zip(best, one.ema.state_dict().values(), strict=True))


def test_rate_warms_up_stays_and_cools_down() -> None:
    schedule = training.Schedule(steps=1000, learning_rate=1.0, rate_warm_up=100)
    assert schedule.rate(0) == pytest.approx(0.01)
    assert schedule.rate(100) == schedule.rate(700) == 1.0
    assert schedule.rate(850) == pytest.approx(0.5)
    assert schedule.rate(1000) == 0.0


def test_kl_weight_warms_up() -> None:
    schedule = training.Schedule(steps=10, kl_weight=2.0, kl_warm_up=4)
    assert [schedule.kl(step) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]


def test_divergence_of_a_standard_normal_is_nothing() -> None:
    mean, logvar = torch.zeros(4, 6), torch.zeros(4, 6)
    assert training.divergence(mean, logvar) == 0
    assert training.divergence(mean + 2, logvar) == pytest.approx(12.0)
    assert training.divergence(mean, logvar, free_nats=0.5) == pytest.approx(3.0)


def test_psnr_of_one_level_off() -> None:
    images = torch.full((2, 3, 4, 4), -1.0)
    off = images + 2 / 255
    assert training.psnr(off, images).tolist() == pytest.approx([48.13, 48.13], abs=0.01)
