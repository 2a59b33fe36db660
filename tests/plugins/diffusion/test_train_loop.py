"""The training loop of a denoiser with real networks at a tiny size."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from plugins.diffusion import denoiser, training
from studio import api

CAPTIONS = ["a red apple, 3d", "a fox, flat", "an owl on a blue ground, 3d"]


def batch(step: int) -> tuple[torch.Tensor, list[str]]:
    chance = torch.Generator().manual_seed(step)
    places = torch.randint(0, 3, (4,), generator=chance)
    values = torch.stack([torch.full((4, 8, 8), float(place) - 1) for place in places])
    return values, [CAPTIONS[int(place)] for place in places]


def trainer(keep: Path, batches=batch, **schedule) -> training.Trainer:
    keep.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    parts = denoiser.build(CAPTIONS, denoiser.SHAPES["tiny"], 4, 8, keep / "words")
    numbers = training.Schedule(**{"steps": 25, "warm_up": 5, "learning_rate": 1e-2, **schedule})
    return training.Trainer(parts, numbers, batches, keep, seed=1, half=False)


def weights(one: training.Trainer) -> list[torch.Tensor]:
    return [value.clone() for model in (one.network, one.ema) for value in model.state_dict().values()]


def test_the_loss_falls(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    losses = [one.step() for _ in range(25)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_killed_and_resumed_equals_unkilled(tmp_path: Path) -> None:
    unkilled = trainer(tmp_path / "a")
    for _ in range(6):
        unkilled.step()
    killed = trainer(tmp_path / "b")
    for _ in range(5):
        killed.step()
        if killed.standing.step == 3:
            killed.save()
    resumed = trainer(tmp_path / "b")
    assert resumed.resume()
    assert resumed.standing.step == 3
    for _ in range(3):
        resumed.step()
    assert all(torch.equal(left, right) for left, right in zip(weights(unkilled), weights(resumed), strict=True))
    assert resumed.standing.loss == unkilled.standing.loss


def test_a_damaged_checkpoint_is_not_gone_on_from(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    assert not one.resume()
    one.save()
    kept = tmp_path / training.CHECKPOINT
    kept.write_bytes(kept.read_bytes()[:1000])
    before = weights(one)
    assert not one.resume()
    assert all(torch.equal(left, right) for left, right in zip(before, weights(one), strict=True))


class Spoilt:
    """Latents that are NaN at one step, as often as told."""

    def __init__(self, step: int, times: int) -> None:
        self.step, self.times = step, times

    def __call__(self, step: int) -> tuple[torch.Tensor, list[str]]:
        values, texts = batch(step)
        if step == self.step and self.times:
            self.times -= 1
            values = values * math.nan
        return values, texts


def test_nan_rewinds_to_the_checkpoint_at_half_the_rate(tmp_path: Path) -> None:
    one = trainer(tmp_path, Spoilt(3, times=1))
    for _ in range(3):
        one.step()
        if one.standing.step == 2:
            one.save()
    with pytest.raises(training.NotFiniteError):
        one.step()
    one.rewind()
    assert (one.standing.step, one.standing.rate_scale, one.standing.rewinds) == (2, 0.5, 1)
    assert all(math.isfinite(one.step()) for _ in range(3))


def test_nan_again_and_again_ends_with_a_sentence(tmp_path: Path) -> None:
    one = trainer(tmp_path, Spoilt(0, times=99))
    one.save()
    for _ in range(training.MOST_REWINDS):
        with pytest.raises(training.NotFiniteError):
            one.step()
        one.rewind()
    with pytest.raises(api.StudioError, match="Lower the learning rate"):
        one.rewind()


def test_rate_warms_up_and_falls_along_a_cosine() -> None:
    schedule = training.Schedule(steps=1100, learning_rate=1.0, warm_up=100)
    assert [schedule.rate(step) for step in (0, 99, 100, 600, 1100)] == pytest.approx([0.01, 1.0, 1.0, 0.5, 0.0])


def test_there_is_no_signal_at_the_last_time() -> None:
    assert float(denoiser.noise_schedule().alphas_cumprod[-1]) == pytest.approx(0.0, abs=1e-7)


def test_the_vocabulary_takes_any_text_and_is_the_same_each_time(tmp_path: Path) -> None:
    first = denoiser.vocabulary(CAPTIONS, tmp_path / "a")
    second = denoiser.vocabulary(reversed(CAPTIONS), tmp_path / "b")
    assert first.get_vocab() == second.get_vocab()
    told = denoiser.tokens(first, ["", "a red apple, 3d", "Zebra 東京 🦊 " * 40])
    assert told.shape == (3, denoiser.TOKENS)
    assert told[0, 0] == first.bos_token_id
    assert set(told[0, 1:].tolist()) == {first.eos_token_id}
    assert int(told.max()) < len(first)
    assert "apple</w>" in first.convert_ids_to_tokens(told[1])
