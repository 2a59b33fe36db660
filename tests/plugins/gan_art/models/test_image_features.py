"""Measurements on features: distances of distributions, copies and variety."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plugins.gan_art.models import image_features as features
from plugins.gan_art.models.image_features import ImageFeatures
from studio import testing


def draw(count: int, mean: float = 0.0, scale: float = 1.0, seed: int = 0) -> ImageFeatures:
    random = np.random.default_rng(seed)
    appearance = random.normal(mean, scale, (count, 12)).astype(np.float32)
    layout = random.normal(mean, scale, (count, 20)).astype(np.float32)
    return ImageFeatures(appearance, layout)


def test_kid_is_near_zero_for_equal_distributions_and_grows_with_their_distance() -> None:
    real = draw(600)
    equal, near, far = (
        features.compute_kid(real.appearance, draw(400, mean, seed=1).appearance) for mean in (0, 0.5, 2)
    )
    assert abs(equal) < 0.02
    assert equal < near < far


def test_kid_equals_its_definition() -> None:
    first, second = draw(5).appearance, draw(5, 1, seed=2).appearance

    def kernel(one: np.ndarray, other: np.ndarray) -> float:
        return float((one @ other / 12 + 1) ** 3)

    within = [
        kernel(a, b) for group in (first, second) for i, a in enumerate(group) for j, b in enumerate(group) if i != j
    ]
    across = [kernel(a, b) for a in first for b in second]
    assert features.compute_kid(first, second) == pytest.approx(2 * np.mean(within) - 2 * np.mean(across), rel=1e-4)


def test_copies_of_training_images_are_seen_as_memorised() -> None:
    training, holdout = draw(300), draw(60, seed=3)
    copies = ImageFeatures(training.appearance[:50], training.layout[:50])
    quality = features.measure_quality(copies, training, holdout, 0)
    assert quality.memorisation < 0.05
    assert quality.nearest.tolist() == [*range(50)]
    fresh = features.measure_quality(draw(50, seed=4), training, holdout, 0)
    assert 0.8 < fresh.memorisation < 1.2
    assert 0.8 < fresh.diversity < 1.2


def test_equal_images_have_no_diversity() -> None:
    training = draw(300)
    same = ImageFeatures(np.repeat(training.appearance[:1], 50, 0), np.repeat(training.layout[:1], 50, 0))
    assert features.measure_quality(same, training, draw(60, seed=3), 0).diversity < 0.01


def test_the_encoder_of_the_starter_tells_images_apart() -> None:
    extractor = features.load_extractor(testing.FakeContext())
    dark, bright = torch.full((1, 3, 32, 32), -1.0), torch.full((1, 3, 32, 48), 1.0)
    first, second = extractor.extract(dark), extractor.extract(bright)
    assert first.appearance.shape == second.appearance.shape
    assert first.layout.shape == second.layout.shape
    assert np.abs(first.appearance - second.appearance).max() > 0.01
    clear = torch.cat([torch.zeros(1, 3, 32, 48), torch.full((1, 1, 32, 48), -1.0)], dim=1)
    assert np.allclose(extractor.extract(clear).appearance, second.appearance, atol=1e-5)
