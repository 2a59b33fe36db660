"""Steps of the training kit's loop, compared with a bare loop over the same network, loss, optimizer and data."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plugins.vae_interpolation.models import networks
from plugins.vae_interpolation.tools.train import WIDTHS
from plugins.vae_interpolation.training.metrics import picture_loss
from plugins.vae_interpolation.training.trainer import KlSchedule, Trainer, build_schedule, divergence
from plugins.vae_interpolation.training.vae_kinds import SpatialKind
from studio.api.training import autocast, step_generator
from tests.benchmarks.figure import MIN_SAMPLES, Figure
from tests.benchmarks.kit_steps import prepare_kit_steps

BATCH, SIDE, STEPS = 4, 32, 4
"""Images of a step, their side in px, and the steps of a sample."""
PAIRS = MIN_SAMPLES + 6
LEARNING_RATE = 1e-3


def run() -> Iterator[Figure]:
    torch.set_num_threads(1)  # threads that wait for each other measure the other load of the machine
    with tempfile.TemporaryDirectory() as folder:
        kit, bare = _prepare_kit(Path(folder)), _prepare_bare()
        pairs = []
        for number in range(PAIRS + 2):
            order = (kit, bare) if number % 2 else (bare, kit)
            times = {take: _measure(take) for take in order}
            pairs.append((times[bare], times[kit]))
        pairs = pairs[2:]
    for clock, name in enumerate(("processor time", "time")):
        yield Figure(
            title=f"{name} of the kit's loop over a bare loop",
            unit="%",
            samples=tuple(100 * (hosted[clock] / alone[clock] - 1) for alone, hosted in pairs),
            bound=3,
            statistic="median",
            baseline=1000 * sorted(alone[clock] for alone, _ in pairs)[len(pairs) // 2] / STEPS,
            baseline_title="a step of the bare loop, in ms",
        )


def _measure(take: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds that the processor worked, which other load hardly changes, and those of the clock."""
    processor, start = time.process_time(), time.perf_counter()
    take()
    return time.process_time() - processor, time.perf_counter() - start


def _load_batch(step: int) -> NDArray[np.float32]:
    return np.random.default_rng(step).uniform(-1, 1, (BATCH, 3, SIDE, SIDE)).astype(np.float32)


def _build_network() -> torch.nn.Module:
    torch.manual_seed(0)
    network: torch.nn.Module = networks.build_spatial_vae(WIDTHS["spatial"]["small"], SIDE)
    return network


def _prepare_kit(folder: Path) -> Callable[[], None]:
    schedule = build_schedule(1_000_000, LEARNING_RATE)
    trainer = Trainer(_build_network(), SpatialKind(), schedule, _load_batch, folder, kl=KlSchedule(), seed=1)
    return prepare_kit_steps(trainer, folder, STEPS)


def _prepare_bare() -> Callable[[], None]:
    network, kind, kl = _build_network().train(), SpatialKind(), KlSchedule()
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    parameters: list[Tensor] = [*network.parameters()]
    means: list[Tensor] = [*average.parameters()]

    def take_step(step: int) -> None:
        images = torch.from_numpy(_load_batch(step))
        with autocast("cpu"):
            mean, logvar = (value.float() for value in kind.posterior(network, images))
            noise = torch.randn(mean.shape, generator=step_generator(1, step))
            output = kind.decode(network, mean + torch.exp(0.5 * logvar) * noise).float()
        nats = divergence(mean, logvar)
        loss = picture_loss(output, images) + kl.weight_at(step) * nats / images[0].numel()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(means, parameters, 0.001)
        loss.item()

    return partial(_take_steps, take_step, iter(range(1_000_000)))


def _take_steps(take_step: Callable[[int], None], numbers: Iterator[int]) -> None:
    for _ in range(STEPS):
        take_step(next(numbers))
