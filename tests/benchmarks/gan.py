"""Images and training steps of the GAN plugin compared with the bare networks, and the live map of *Dream*."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from plugins.gan_art.models.gan_model import GanConfig, GanModel, save_gan
from plugins.gan_art.models.pixels import to_tensor_values
from plugins.gan_art.networks.stylegan2 import Generator
from plugins.gan_art.training import setup
from plugins.gan_art.training.augmentation import augment
from plugins.gan_art.training.data import ImageSet, TrainingData
from plugins.gan_art.training.params import GanTrainingParams
from plugins.gan_art.training.trainer import BETAS, PENALTY_INTERVAL, GanTraining, Hyperparameters, place
from studio.api.training import autocast, step_generator
from tests.benchmarks.figure import MIN_SAMPLES, Figure
from tests.benchmarks.kit_steps import prepare_kit_steps
from tests.benchmarks.window_fixture import open_bench_window, run_event_loop, wait_until

SIDE, IMAGES, BATCH = 32, 64, 4
STEPS = PENALTY_INTERVAL
"""Steps of a sample, one of which has a gradient penalty."""
PAIRS = MIN_SAMPLES + 14
DRAWN = 16
"""Images of a sample."""
MOVES, MOVE_SECONDS = 100, 0.03
"""Moves of the mouse, and the time between two."""
HYPER = Hyperparameters(1_000_000, BATCH, augmentation="fixed", seed=1)


def run() -> Iterator[Figure]:
    torch.set_num_threads(1)  # threads that wait for each other measure the other load of the machine
    generator = _build_networks("small", 64)[0].eval().requires_grad_(False)
    model = GanModel(generator, "", GanConfig())
    styles = model.map_latents(torch.randn(DRAWN, generator.latent_size))

    def draw_bare() -> None:
        with torch.inference_mode():
            generator.synthesis(styles).float().clamp(-1, 1).cpu()

    yield _compare("images of the plugin over the bare network", draw_bare, lambda: model.synthesize(styles), DRAWN)
    with tempfile.TemporaryDirectory() as folder:
        yield _compare("training steps over a bare loop", _prepare_bare(), _prepare_kit(Path(folder)), STEPS)
        save_gan(Path(folder) / "model", generator.state_dict(), GanConfig())
        yield Figure(
            title="mouse on the map of Dream to painted, 64 px",
            samples=tuple(_measure_live_map(Path(folder) / "model")),
            bound=100,
            statistic="median",
            baseline=1000 * min(_measure(lambda: model.synthesize(styles[:1])) for _ in range(MIN_SAMPLES)),
            baseline_title="one image of the bare network",
        )


def _measure_live_map(folder: Path) -> list[float]:
    """Return the milliseconds from a move on the map to its image, while the hand moves all the time."""
    latencies: list[float] = []
    with open_bench_window() as window:
        workspace, drafts = window.session.workspace, window.session.drafts
        workspace.choose("gan.dream")
        workspace.replace_values({"model": str(folder)})
        drafts.latency_changed.connect(lambda: latencies.append(1000 * (drafts.last_latency or 0)))
        workspace.set_value("map_x", 0.5)
        wait_until(lambda: len(latencies) > 0)  # the model is loaded
        for step in range(MOVES):
            workspace.set_value("map_x", step / MOVES)
            run_event_loop(MOVE_SECONDS)
        wait_until(lambda: len(latencies) > MIN_SAMPLES)
    return latencies[2:]


def _compare(title: str, bare: Callable[[], object], hosted: Callable[[], object], parts: int) -> Figure:
    """Return the figure of two ways of doing the same work, in alternating pairs."""
    pairs = []
    for number in range(PAIRS + 2):
        order = (hosted, bare) if number % 2 else (bare, hosted)
        times = {take: _measure(take) for take in order}
        pairs.append((times[bare], times[hosted]))
    pairs = pairs[2:]
    return Figure(
        title=f"processor time: {title}",
        unit="%",
        samples=tuple(100 * (own / alone - 1) for alone, own in pairs),
        bound=2,
        statistic="median",
        baseline=1000 * sorted(alone for alone, _ in pairs)[len(pairs) // 2] / parts,
        baseline_title="one of the bare network, in ms",
    )


def _measure(take: Callable[[], object]) -> float:
    """Return the seconds that the processor worked, which other load hardly changes."""
    start = time.process_time()
    take()
    return time.process_time() - start


def _build_networks(width: str, size: int) -> tuple[Generator, torch.nn.Module]:
    torch.manual_seed(0)
    params = GanTrainingParams.model_validate({"folder": ".", "width": width, "size": size})
    return setup.build_networks(params, 0, None)


def _build_data() -> TrainingData:
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), np.uint8)
    images = ImageSet(pixels, np.zeros(IMAGES, np.int64))
    return TrainingData(images, images)


def _prepare_kit(folder: Path) -> Callable[[], None]:
    generator, discriminator = _build_networks("small", SIDE)
    training = GanTraining(generator, discriminator, _build_data(), HYPER, folder)  # type: ignore[arg-type]
    return prepare_kit_steps(training, folder, STEPS)


def _prepare_bare() -> Callable[[], None]:
    generator, discriminator = (place(network, "cpu") for network in _build_networks("small", SIDE))
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    optimizers = [torch.optim.Adam(network.parameters(), 2e-3, BETAS) for network in (generator, discriminator)]
    pixels = _build_data().training.pixels
    numbers = count()

    def take_step(step: int) -> None:
        random = step_generator(1, step, 0)
        rows = torch.randint(IMAGES, (BATCH,), generator=random).numpy()
        real = torch.from_numpy(to_tensor_values(pixels[rows])).contiguous(memory_format=torch.channels_last)
        latents = torch.randn((2, BATCH, generator.latent_size), generator=random)
        is_penalised = step % PENALTY_INTERVAL == 0
        with autocast("cpu"):
            with torch.no_grad():
                made = generator(latents[0], noise=random)
            seen = [augment(images, 0.2, random).detach() for images in (real, made.float())]
            for images in seen:
                images.requires_grad_(is_penalised)
            scores = [discriminator(images) for images in seen]
            loss = functional.softplus(scores[1] - scores[0]).mean()
            if is_penalised:
                for score, images in zip(scores, seen, strict=True):
                    (gradient,) = torch.autograd.grad(score.sum(), images, create_graph=True)
                    loss = loss + gradient.float().square().sum(dim=(1, 2, 3)).mean() * (0.4 * PENALTY_INTERVAL)
        optimizers[1].zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(discriminator.parameters(), float("inf"))
        optimizers[1].step()
        discriminator.requires_grad_(False)
        with autocast("cpu"):
            fake = discriminator(augment(generator(latents[1], noise=random).float(), 0.2, random))
            with torch.no_grad():
                kept = discriminator(augment(real, 0.2, random))
            loss = functional.softplus(kept - fake).mean()
        optimizers[0].zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(generator.parameters(), float("inf"))
        optimizers[0].step()
        discriminator.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_([*average.parameters()], [*generator.parameters()], 0.001)
        loss.item()

    def take_steps() -> None:
        for _ in range(STEPS):
            take_step(next(numbers))

    return take_steps
