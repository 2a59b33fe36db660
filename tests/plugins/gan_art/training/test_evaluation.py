"""Evaluations of a training: the best weights by KID, and the way back after a collapse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins.gan_art.models.image_features import Quality
from plugins.gan_art.training.evaluation import Evaluator
from studio import api
from tests.plugins.gan_art.training.test_trainer import build_training, read_weights


def evaluate(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch, kid: float, diversity: float) -> list[api.Event]:
    nearest = np.zeros(16, np.int64)
    quality = Quality(kid, 1.0, diversity, nearest)
    images = torch.zeros(16, 3, 16, 16)
    monkeypatch.setattr(evaluator, "measure", lambda: (quality, images, np.arange(12)))
    return list(evaluator.preview())


def test_a_collapsed_training_returns_to_varied_weights_with_half_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = build_training(tmp_path)
    extractor: Any = None
    evaluator = Evaluator(training, extractor, 1)
    for _ in range(2):
        training.step()
    evaluate(evaluator, monkeypatch, 0.5, 0.9)
    varied = {name: value.clone() for name, value in read_weights(training).items()}
    rate = training.current_learning_rate
    for _ in range(2):
        training.step()
    events = evaluate(evaluator, monkeypatch, 5.0, 0.1)
    (notice,) = [event for event in events if isinstance(event, api.Notice)]
    assert "nearly all alike" in notice.text
    assert training.state.step == 2
    weights = read_weights(training)
    assert all(torch.equal(value, weights[name]) for name, value in varied.items())
    assert training.current_learning_rate == pytest.approx(rate / 2)


def test_the_best_weights_are_those_of_the_lowest_kid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = build_training(tmp_path)
    extractor: Any = None
    evaluator = Evaluator(training, extractor, 1)
    for kid in (0.9, 0.4, 0.7):
        training.step()
        evaluate(evaluator, monkeypatch, kid, 0.9)
    notes = evaluator.best.restore()
    assert notes
    assert (notes["step"], notes["measures"]["KID"]) == (2, 0.4)
