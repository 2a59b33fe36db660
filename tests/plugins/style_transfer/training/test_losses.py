"""Losses, scores and the image pool."""

import pytest
import torch

from plugins.style_transfer.inference import checkerboard
from plugins.style_transfer.training import losses, metrics
from plugins.style_transfer.training.image_pool import ImagePool


def make_rng(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def make_images(count: int = 2, side: int = 48, seed: int = 0) -> torch.Tensor:
    coarse = torch.rand(count, 3, side // 4, side // 4, generator=make_rng(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)


def test_lsgan_loss_is_zero_at_the_targets() -> None:
    logits = torch.tensor([0.0, 1.0])
    assert losses.compute_lsgan_loss(logits, True) == losses.compute_lsgan_loss(logits, False) == 0.5
    assert losses.compute_lsgan_loss(torch.ones(3), True) == losses.compute_lsgan_loss(torch.zeros(3), False) == 0


def test_patch_nce_loss_is_lowest_for_the_own_position() -> None:
    keys = torch.nn.functional.normalize(torch.randn(2, 16, 8, generator=make_rng()), dim=-1)
    same, shifted = losses.compute_patch_nce_loss(keys, keys), losses.compute_patch_nce_loss(keys.roll(1, 1), keys)
    assert same < 0.5 < shifted


def test_patches_are_compared_as_distributions() -> None:
    images, others = make_images(), make_images(seed=1) * 0.2 + 0.6
    filters = losses.sample_patch_filters(24, make_rng())
    assert losses.compute_patch_distance(images, images.flip(0), filters) == pytest.approx(0, abs=1e-5)
    near = losses.compute_patch_distance(images, make_images(seed=2), filters)
    far = losses.compute_patch_distance(images, others, filters)
    assert 0 < near < far / 2
    assert losses.compute_patch_distance(images, others[:1, :, :40], filters) == pytest.approx(float(far), rel=0.25)


def test_structure_loss_ignores_palette_and_contrast() -> None:
    images = make_images()
    recoloured = 0.5 * images + torch.tensor([0.3, 0.0, -0.2]).view(1, 3, 1, 1)
    assert losses.compute_structure_loss(images, images) == 0
    loss = losses.compute_structure_loss(recoloured, images)
    assert loss < 0.5 * losses.compute_structure_loss(images.flip(-1), images)


def test_the_style_distance_is_deterministic() -> None:
    first = metrics.compute_style_distance(make_images(), make_images(seed=3))
    assert first == metrics.compute_style_distance(make_images(), make_images(seed=3)) > 0


def test_a_full_pool_returns_earlier_images() -> None:
    pool = ImagePool(3, 4)
    numbered = [torch.full((1, 3, 4, 4), float(number)) for number in range(12)]
    for images in numbered[:3]:
        assert torch.equal(pool.query(images, make_rng()), images)
    rng = make_rng(1)
    returned = [float(pool.query(images, rng).mean()) for images in numbered[3:]]
    earlier = [value < number for number, value in enumerate(returned, 3)]
    assert any(earlier)
    assert not all(earlier)


def test_a_pool_resumes_from_its_buffers() -> None:
    first, second = ImagePool(2, 4), ImagePool(2, 4)
    batches = [torch.rand(2, 3, 4, 4, generator=make_rng(number)) for number in range(6)]
    for number in range(3):
        first.query(batches[number], make_rng(number))
    second.buffers.load_state_dict(first.buffers.state_dict())
    for number in range(3, 6):
        a, b = (pool.query(batches[number], make_rng(number)) for pool in (first, second))
        assert torch.equal(a, b)


def test_an_empty_pool_returns_its_input() -> None:
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(ImagePool(0, 4).query(images, make_rng()), images)


def test_a_checkerboard_is_detected() -> None:
    plain = make_images(2, 64) + 0.02 * torch.randn(2, 3, 64, 64, generator=make_rng(4))
    checkered = plain.clone()
    checkered[..., ::2, 1::2] += 0.1
    lines = plain.clone()
    lines[..., ::4, :] += 0.1
    assert checkerboard.compute_energy(plain) < 0.001
    assert min(
        checkerboard.compute_energy(checkered), checkerboard.compute_energy(lines)
    ) > 5 * checkerboard.compute_energy(plain)
    assert (
        checkerboard.compute_energy(torch.zeros(1, 3, 64, 64)) == checkerboard.compute_energy(checkered[..., :16]) == 0
    )
