"""The training loop with real networks at a tiny size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from plugins.diffusion.training import small_model, trainer
from plugins.diffusion.training.trainer import Trainer, TrainerOptions
from studio.api.training import LearningRateSchedule

if TYPE_CHECKING:
    from plugins.diffusion.training.latent_dataset import Batch

CAPTIONS = ["a red apple, 3d", "a fox, flat", "an owl on a blue ground, 3d"]


def batch(step: int) -> tuple[torch.Tensor, list[str], list[None]]:
    generator = torch.Generator().manual_seed(step)
    indices = torch.randint(0, 3, (4,), generator=generator)
    values = torch.stack([torch.full((4, 8, 8), float(index) - 1) for index in indices])
    return values, [CAPTIONS[int(index)] for index in indices], [None] * len(indices)


def build_trainer(folder: Path, batches: Callable[[int], Batch | tuple[Any, ...]] = batch, **schedule: Any) -> Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    parts = small_model.build_components(CAPTIONS, small_model.NETWORK_SIZES["tiny"], 4, 8, folder / "words")
    numbers = LearningRateSchedule(**{"steps": 25, "warm_up": 5, "learning_rate": 1e-2, **schedule})
    return Trainer(parts, numbers, batches, folder, seed=1, options=TrainerOptions(precision="float32"))


def take_step(training: Trainer) -> float:
    """Take a step and return its loss, computed from the moving average."""
    before, count = training.state.loss, training.state.step
    training.step()
    return training.state.loss * (count + 1) - before * count


def weights(training: Trainer) -> list[torch.Tensor]:
    return [value.clone() for model in (training.network, training.ema) for value in model.state_dict().values()]


def test_loss_falls(tmp_path: Path) -> None:
    training = build_trainer(tmp_path)
    losses = [take_step(training) for _ in range(25)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_killed_and_resumed_training_gives_the_same_weights(tmp_path: Path) -> None:
    uninterrupted = build_trainer(tmp_path / "a")
    for _ in range(6):
        uninterrupted.step()
    killed = build_trainer(tmp_path / "b")
    for _ in range(5):
        killed.step()
        if killed.state.step == 3:
            killed.save()
    resumed = build_trainer(tmp_path / "b")
    assert resumed.resume()
    assert resumed.state.step == 3
    for _ in range(3):
        resumed.step()
    assert all(torch.equal(left, right) for left, right in zip(weights(uninterrupted), weights(resumed), strict=True))
    assert resumed.state.loss == uninterrupted.state.loss


@pytest.fixture
def two_cores() -> Iterator[None]:
    cores = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(cores)


def large_batch(step: int) -> tuple[torch.Tensor, list[str], list[None]]:
    values, words, frames = batch(step)
    return values.repeat(8, 1, 1, 1), words * 8, frames * 8


@pytest.mark.usefixtures("two_cores")
def test_large_batch_is_split_over_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (build_trainer(tmp_path / name, large_batch) for name in "ab")
    for training in (first, second):
        for _ in range(5):
            training.step()
    assert all(torch.equal(left, right) for left, right in zip(weights(first), weights(second), strict=True))
    assert torch.get_num_threads() == 2
    monkeypatch.setattr(trainer, "MIN_IMAGES_PER_CORE", 32)
    whole = build_trainer(tmp_path / "c", large_batch)
    for _ in range(5):
        whole.step()
    assert first.state.loss == pytest.approx(whole.state.loss, rel=1e-3)


def test_learning_rate_warms_up_and_decays() -> None:
    schedule = LearningRateSchedule(steps=1100, learning_rate=1.0, warm_up=100)
    assert [schedule.rate_at(step) for step in (0, 99, 100, 600, 1100)] == pytest.approx([0.01, 1.0, 1.0, 0.5, 0.0])


def test_terminal_snr_is_zero() -> None:
    assert float(small_model.build_noise_scheduler().alphas_cumprod[-1]) == pytest.approx(0.0, abs=1e-7)


def test_tokenizer_takes_any_text_and_is_deterministic(tmp_path: Path) -> None:
    first = small_model.train_tokenizer(CAPTIONS, tmp_path / "a")
    second = small_model.train_tokenizer(reversed(CAPTIONS), tmp_path / "b")
    assert first.get_vocab() == second.get_vocab()
    tokens = small_model.tokenize(first, ["", "a red apple, 3d", "Zebra 東京 🦊 " * 40])
    assert tokens.shape == (3, small_model.MAX_TOKENS)
    assert tokens[0, 0] == first.bos_token_id
    assert set(tokens[0, 1:].tolist()) == {first.eos_token_id}
    assert int(tokens.max()) < len(first)
    assert "apple</w>" in first.convert_ids_to_tokens(tokens[1])
