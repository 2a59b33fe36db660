"""Trainings that save memory compute the same gradient."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from plugins.writer.models import architectures
from plugins.writer.training import forecast
from plugins.writer.training.token_streams import TokenStreams
from plugins.writer.training.trainer import Trainer as WriterTrainer
from plugins.writer.training.trainer import TrainingPlan
from studio import api
from tests.plugins.diffusion.training import test_trainer as diffusion
from tests.plugins.style_transfer.training import test_trainings as style
from tests.plugins.vae_interpolation.training import test_trainer as vae

Build = Callable[[Path], api.training.Training]


def build_writer(folder: Path, *, masked: bool = False) -> WriterTrainer:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    shape = (architectures.MASKED_SHAPES if masked else architectures.CAUSAL_SHAPES)["tiny"]
    tokens = forecast.SizedVocabulary(300)
    model = (
        architectures.build_masked_model(shape, tokens, 16)
        if masked
        else architectures.build_causal_model(shape, tokens)
    )
    streams = TokenStreams({"text": np.random.default_rng(1).integers(2, 300, 400).astype(np.uint16)})
    plan = TrainingPlan(10, 1e-3, 5, 16, seed=1)
    return WriterTrainer(model, streams, plan, folder, mask_token=5 if masked else None)


def build_style(create: style.Create) -> Build:
    def build(folder: Path) -> api.training.Training:
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        return create(folder, 10)

    return build


BUILDS: dict[str, tuple[Build, int]] = {
    "vae": (vae.build_trainer, 2),
    "diffusion": (diffusion.build_trainer, 3),
    "writer": (build_writer, 4),
    "masked writer": (lambda folder: build_writer(folder, masked=True), 4),
    "cyclegan": (build_style(style.create_cyclegan), 1),
    "cut": (build_style(style.create_cut), 1),
    "few paintings": (build_style(style.create_few_paintings), 1),
}
"""By kind, with the number of measures that it can take for its batch."""


@pytest.fixture(autouse=True)
def _without_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in float32, also where bfloat16 is fast."""
    monkeypatch.setattr(api.training, "autocast", lambda *_, **__: nullcontext())


def gradients_of(training: api.training.Training) -> list[torch.Tensor]:
    training.step()
    return [value.grad.clone() for value in training._parameters if value.grad is not None]


@pytest.mark.parametrize("kind", BUILDS)
def test_every_measure_keeps_the_gradient_until_nothing_is_left(kind: str, tmp_path: Path) -> None:
    build, count = BUILDS[kind]
    expected = gradients_of(build(tmp_path / "whole"))
    for measures in range(1, count + 1):
        found = gradients_after(build(tmp_path / str(measures)), measures)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def gradients_after(training: api.training.Training, measures: int) -> list[torch.Tensor]:
    """Return the gradients of the first step, which ran out of memory `measures` times."""
    left = [measures]
    backward = torch.autograd.backward

    def run_short(*arguments: object, **more: object) -> None:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        backward(*arguments, **more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.autograd, "backward", run_short)
        notices = [*training._take_step("Too much.")]
    assert len(notices) == measures
    assert all(isinstance(notice, api.Notice) and "Memory is short, so" in notice.text for notice in notices)
    return [value.grad.clone() for value in training._parameters if value.grad is not None]


@pytest.mark.parametrize("kind", BUILDS)
def test_a_training_gives_up_when_nothing_is_left(kind: str, tmp_path: Path) -> None:
    build, count = BUILDS[kind]
    with pytest.raises(api.OutOfMemory, match="Too much"):
        gradients_after(build(tmp_path), count + 1)
