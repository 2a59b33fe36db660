"""The training loop of a denoiser with real networks at a tiny size."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from plugins.diffusion.training import small_model
from plugins.diffusion.training import trainer as training

CAPTIONS = ["a red apple, 3d", "a fox, flat", "an owl on a blue ground, 3d"]


def batch(step: int) -> tuple[torch.Tensor, list[str], list[None]]:
    chance = torch.Generator().manual_seed(step)
    places = torch.randint(0, 3, (4,), generator=chance)
    values = torch.stack([torch.full((4, 8, 8), float(place) - 1) for place in places])
    return values, [CAPTIONS[int(place)] for place in places], [None] * len(places)


def trainer(keep: Path, batches=batch, **schedule) -> training.Trainer:
    keep.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    parts = small_model.build_components(CAPTIONS, small_model.NETWORK_SIZES["tiny"], 4, 8, keep / "words")
    numbers = training.LearningRateSchedule(**{"steps": 25, "warm_up": 5, "learning_rate": 1e-2, **schedule})
    return training.Trainer(parts, numbers, batches, keep, seed=1, autocast=False)


def loss(one: training.Trainer) -> float:
    """That of one step, from the moving average of all so far."""
    before, count = one.state.loss, one.state.step
    one.step()
    return one.state.loss * (count + 1) - before * count


def weights(one: training.Trainer) -> list[torch.Tensor]:
    return [value.clone() for model in (one.network, one.ema) for value in model.state_dict().values()]


def test_the_loss_falls(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    losses = [loss(one) for _ in range(25)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_killed_and_resumed_equals_unkilled(tmp_path: Path) -> None:
    unkilled = trainer(tmp_path / "a")
    for _ in range(6):
        unkilled.step()
    killed = trainer(tmp_path / "b")
    for _ in range(5):
        killed.step()
        if killed.state.step == 3:
            killed.save()
    resumed = trainer(tmp_path / "b")
    assert resumed.resume()
    assert resumed.state.step == 3
    for _ in range(3):
        resumed.step()
    assert all(torch.equal(left, right) for left, right in zip(weights(unkilled), weights(resumed), strict=True))
    assert resumed.state.loss == unkilled.state.loss


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
def test_a_large_batch_is_learnt_from_on_each_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, again = (trainer(tmp_path / name, large_batch) for name in "ab")
    for one in (beside, again):
        for _ in range(5):
            one.step()
    assert all(torch.equal(left, right) for left, right in zip(weights(beside), weights(again), strict=True))
    assert torch.get_num_threads() == 2
    monkeypatch.setattr(training, "MIN_IMAGES_PER_CORE", 32)
    alone = trainer(tmp_path / "c", large_batch)
    for _ in range(5):
        alone.step()
    assert beside.state.loss == pytest.approx(alone.state.loss, rel=1e-3)


def test_rate_warms_up_and_falls_along_a_cosine() -> None:
    schedule = training.LearningRateSchedule(steps=1100, learning_rate=1.0, warm_up=100)
    assert [schedule.rate(step) for step in (0, 99, 100, 600, 1100)] == pytest.approx([0.01, 1.0, 1.0, 0.5, 0.0])


def test_there_is_no_signal_at_the_last_time() -> None:
    assert float(small_model.build_noise_scheduler().alphas_cumprod[-1]) == pytest.approx(0.0, abs=1e-7)


def test_the_vocabulary_takes_any_text_and_is_the_same_each_time(tmp_path: Path) -> None:
    first = small_model.train_tokenizer(CAPTIONS, tmp_path / "a")
    second = small_model.train_tokenizer(reversed(CAPTIONS), tmp_path / "b")
    assert first.get_vocab() == second.get_vocab()
    told = small_model.tokenize(first, ["", "a red apple, 3d", "Zebra 東京 🦊 " * 40])
    assert told.shape == (3, small_model.MAX_TOKENS)
    assert told[0, 0] == first.bos_token_id
    assert set(told[0, 1:].tolist()) == {first.eos_token_id}
    assert int(told.max()) < len(first)
    assert "apple</w>" in first.convert_ids_to_tokens(told[1])
