"""Augmented images still show the same subject."""

import numpy as np
import torch

from plugins.diffusion.training import augmentation


def make_two_coloured_squares() -> torch.Tensor:
    """Return squares, red on the left and blue on the right, on a transparent background."""
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[8:24, 4:16] = (255, 0, 0, 255)
    pixels[8:24, 16:28] = (0, 0, 255, 255)
    return augmentation.stack_images([pixels] * 64, 32)


def is_redder_on_the_left(views: torch.Tensor) -> torch.Tensor:
    red = views[:, 0] - views[:, 2]
    return red[:, :, :16].mean((1, 2)) > red[:, :, 16:].mean((1, 2))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_views_are_deterministic() -> None:
    flips = torch.zeros(64, dtype=torch.bool)
    views = augmentation.augment(make_two_coloured_squares(), flips, generator())
    assert views.shape == (64, 3, 32, 32)
    assert views.min() >= -1
    assert views.max() <= 1
    assert (views == augmentation.augment(make_two_coloured_squares(), flips, generator())).all()
    assert (views[0] != views[1]).any()


def test_only_allowed_images_are_mirrored() -> None:
    still = augmentation.augment(make_two_coloured_squares(), torch.zeros(64, dtype=torch.bool), generator())
    mirrored = augmentation.augment(make_two_coloured_squares(), torch.ones(64, dtype=torch.bool), generator())
    assert is_redder_on_the_left(still).all()
    assert 10 < int(is_redder_on_the_left(mirrored).sum()) < 54


def test_transparent_background_becomes_white_or_one_colour() -> None:
    transparent = torch.zeros(32, 4, 32, 32, dtype=torch.uint8)
    views = augmentation.augment(transparent, torch.zeros(32, dtype=torch.bool), generator())
    assert (views.std((2, 3)) < 0.1).all()
    assert len({tuple(one) for one in (views.mean((2, 3)) * 4).round().int().tolist()}) > 8
