"""What the classifier is shown stays the thing that it was."""

import numpy as np
import torch

from plugins.diffusion.training import augmentation


def half_red() -> torch.Tensor:
    """A square, red on its left and blue on its right, on a clear ground."""
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[8:24, 4:16] = (255, 0, 0, 255)
    pixels[8:24, 16:28] = (0, 0, 255, 255)
    return augmentation.stack_images([pixels] * 64, 32)


def redder_left(views: torch.Tensor) -> torch.Tensor:
    red = views[:, 0] - views[:, 2]
    return red[:, :, :16].mean((1, 2)) > red[:, :, 16:].mean((1, 2))


def chance() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_views_are_pictures_and_come_again_from_the_same_chance() -> None:
    flips = torch.zeros(64, dtype=torch.bool)
    views = augmentation.augment(half_red(), flips, chance())
    assert views.shape == (64, 3, 32, 32)
    assert views.min() >= -1
    assert views.max() <= 1
    assert (views == augmentation.augment(half_red(), flips, chance())).all()
    assert (views[0] != views[1]).any()


def test_only_what_may_be_mirrored_is() -> None:
    still = augmentation.augment(half_red(), torch.zeros(64, dtype=torch.bool), chance())
    mirrored = augmentation.augment(half_red(), torch.ones(64, dtype=torch.bool), chance())
    assert redder_left(still).all()
    assert 10 < int(redder_left(mirrored).sum()) < 54


def test_a_clear_ground_is_white_or_one_colour() -> None:
    clear = torch.zeros(32, 4, 32, 32, dtype=torch.uint8)
    views = augmentation.augment(clear, torch.zeros(32, dtype=torch.bool), chance())
    assert (views.std((2, 3)) < 0.1).all()
    assert len({tuple(one) for one in (views.mean((2, 3)) * 4).round().int().tolist()}) > 8
