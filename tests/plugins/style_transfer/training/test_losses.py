"""What each loss is least for, and the pool of older pictures."""

import numpy as np
import pytest
import torch

from plugins.style_transfer.inference import checkerboard_detection
from plugins.style_transfer.training import losses, metrics
from plugins.style_transfer.training.image_pool import Pool
from plugins.style_transfer.training.loss_curves import BINS, Curves


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def pictures(count: int = 2, side: int = 48, seed: int = 0) -> torch.Tensor:
    coarse = torch.rand(count, 3, side // 4, side // 4, generator=seeded(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)


def test_least_squares_are_met_by_one_and_zero() -> None:
    verdicts = torch.tensor([0.0, 1.0])
    assert losses.lsgan(verdicts, True) == losses.lsgan(verdicts, False) == 0.5
    assert losses.lsgan(torch.ones(3), True) == losses.lsgan(torch.zeros(3), False) == 0


def test_a_patch_is_to_find_its_own_place() -> None:
    keys = torch.nn.functional.normalize(torch.randn(2, 16, 8, generator=seeded()), dim=-1)
    own, other = losses.patch_nce(keys, keys), losses.patch_nce(keys.roll(1, 1), keys)
    assert own < 0.5 < other


def test_patches_are_compared_as_distributions() -> None:
    images, others = pictures(), pictures(seed=1) * 0.2 + 0.6
    filters = losses.patch_filters(24, seeded())
    assert losses.patch_distance(images, images.flip(0), filters) == pytest.approx(0, abs=1e-5)
    near = losses.patch_distance(images, pictures(seed=2), filters)
    far = losses.patch_distance(images, others, filters)
    assert 0 < near < far / 2
    assert losses.patch_distance(images, others[:1, :, :40], filters) == pytest.approx(float(far), rel=0.25)


def test_structure_does_not_mind_palette_and_contrast() -> None:
    images = pictures()
    recoloured = 0.5 * images + torch.tensor([0.3, 0.0, -0.2]).view(1, 3, 1, 1)
    assert losses.structure(images, images) == 0
    kept = losses.structure(recoloured, images)
    assert kept < 0.5 * losses.structure(images.flip(-1), images)


def test_the_measure_is_the_same_every_time() -> None:
    first = metrics.style_distance(pictures(), pictures(seed=3))
    assert first == metrics.style_distance(pictures(), pictures(seed=3)) > 0


def test_a_pool_fills_then_gives_older_pictures_back() -> None:
    pool = Pool(3, 4)
    numbered = [torch.full((1, 3, 4, 4), float(number)) for number in range(12)]
    for made in numbered[:3]:
        assert torch.equal(pool.exchanged(made, seeded()), made)
    chance = seeded(1)
    given = [float(pool.exchanged(made, chance).mean()) for made in numbered[3:]]
    older = [one < number for number, one in enumerate(given, 3)]
    assert any(older)
    assert not all(older)


def test_a_pool_goes_on_from_its_buffers() -> None:
    first, second = Pool(2, 4), Pool(2, 4)
    some = [torch.rand(2, 3, 4, 4, generator=seeded(number)) for number in range(6)]
    for number in range(3):
        first.exchanged(some[number], seeded(number))
    second.kept.load_state_dict(first.kept.state_dict())
    for number in range(3, 6):
        a, b = (pool.exchanged(some[number], seeded(number)) for pool in (first, second))
        assert torch.equal(a, b)


def test_no_pool_gives_back_what_it_gets() -> None:
    made = torch.rand(2, 3, 4, 4)
    assert torch.equal(Pool(0, 4).exchanged(made, seeded()), made)


def test_curves_hold_means_and_are_drawn() -> None:
    curves = Curves(("painter", "judge"), 2 * BINS)
    for step in range(2 * BINS):
        curves.add(step, {"painter": float(step)})
    means = curves.means()
    assert means["painter"][:3].tolist() == [0.5, 2.5, 4.5]
    assert np.isnan(means["judge"]).all()
    plot = curves.plot(240)
    assert plot.shape == (96, 240, 3)
    line = (plot[22:, :, 0].astype(int) - plot[22:, :, 2]) > 60
    assert line[:, 20:-20].any(0).mean() > 0.9
    assert np.argmax(line[:, 50]) > np.argmax(line[:, 190])


def test_a_checkerboard_is_told_from_a_picture() -> None:
    plain = pictures(2, 64) + 0.02 * torch.randn(2, 3, 64, 64, generator=seeded(4))
    checked = plain.clone()
    checked[..., ::2, 1::2] += 0.1
    lines = plain.clone()
    lines[..., ::4, :] += 0.1
    assert checkerboard_detection.energy(plain) < 0.001
    assert min(
        checkerboard_detection.energy(checked), checkerboard_detection.energy(lines)
    ) > 5 * checkerboard_detection.energy(plain)
    assert (
        checkerboard_detection.energy(torch.zeros(1, 3, 64, 64))
        == checkerboard_detection.energy(checked[..., :16])
        == 0
    )
