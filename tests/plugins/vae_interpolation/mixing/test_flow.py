"""Warps, the ghosting that they prevent, and local weights by saliency."""

import math
from itertools import islice

import pytest
import torch
from torch import Tensor

from plugins.vae_interpolation.mixing import flow
from plugins.vae_interpolation.mixing.flow import Flow
from plugins.vae_interpolation.mixing.ghosting import score_ghosting
from plugins.vae_interpolation.mixing.images import to_tensor
from plugins.vae_interpolation.mixing.saliency_weights import compute_local_weights, compute_saliency
from tests.plugins.vae_interpolation.fixtures.shapes import disk


@pytest.fixture(scope="module")
def ends() -> tuple[Tensor, Tensor]:
    return to_tensor(disk(0.36, 0.5)), to_tensor(disk(0.64, 0.5))


@pytest.fixture(scope="module")
def softest(ends: tuple[Tensor, Tensor]) -> Flow:
    torch.set_num_threads(1)
    *_, last = flow.find_flows(*ends)
    return last


def find_centre(image: Tensor) -> float:
    """Return the position of the disk as a fraction of the width."""
    red = (image[0, 0] - image[0, 0].min()).clamp_min(0.0)
    columns = (torch.arange(red.shape[1]) + 0.5) / red.shape[1]
    return float((red.sum(0) * columns).sum() / red.sum())


def test_a_shifted_disk_is_warped_half_way(ends: tuple[Tensor, Tensor], softest: Flow) -> None:
    first, second = flow.warp(ends[0], softest.warp_first(0.5)), flow.warp(ends[1], softest.warp_second(0.5))
    assert find_centre(first) == pytest.approx(0.5, abs=0.03)
    assert find_centre(second) == pytest.approx(0.5, abs=0.03)


def test_a_warped_average_ghosts_far_less_than_a_plain_one(ends: tuple[Tensor, Tensor], softest: Flow) -> None:
    first, second = flow.warp(ends[0], softest.warp_first(0.5)), flow.warp(ends[1], softest.warp_second(0.5))
    plain, aligned = (
        score_ghosting(0.5 * (ends[0] + ends[1]), *ends),
        score_ghosting(0.5 * (first + second), first, second),
    )
    assert plain > 0.8
    assert aligned < 0.25


def test_a_picture_is_unchanged_at_its_own_pose(ends: tuple[Tensor, Tensor], softest: Flow) -> None:
    assert torch.allclose(flow.warp(ends[0], softest.warp_first(0.0)), ends[0], atol=1e-4)
    assert torch.allclose(flow.warp(ends[1], softest.warp_second(1.0)), ends[1], atol=1e-4)


def test_equal_pictures_are_not_warped(ends: tuple[Tensor, Tensor]) -> None:
    assert next(flow.find_flows(ends[0], ends[0])).velocity.abs().max() < 0.01


def test_a_flow_and_its_inverse_cancel_out(softest: Flow) -> None:
    there, back = flow.integrate(softest.velocity), flow.integrate(softest.velocity, -1.0)
    assert flow.compose(there, back).abs().mean() < 0.01


def test_two_halves_of_a_flow_compose_to_the_whole(softest: Flow) -> None:
    half = flow.integrate(softest.velocity, 0.5)
    assert (flow.compose(half, half) - flow.integrate(softest.velocity)).abs().max() < 0.02


def test_the_warp_never_folds(softest: Flow) -> None:
    """The area that a cell is mapped to is never negative; at the border it may come to nothing."""
    for pose in (0.25, 0.5, 1.0):
        x, y = softest.warp_first(pose)[0]
        rows, columns = x.shape
        dx, dy = 2.0 / columns, 2.0 / rows
        area = (1 + torch.gradient(x, dim=1)[0] / dx) * (1 + torch.gradient(y, dim=0)[0] / dy)
        area = area - (torch.gradient(x, dim=0)[0] / dy) * (torch.gradient(y, dim=1)[0] / dx)
        assert area.min() > -1e-4


def test_the_flow_does_not_cross_the_border(softest: Flow) -> None:
    """Every place is looked up within the picture, on the whole way and a little beyond."""
    for pose in (-0.2, 0.5, 1.2):
        x, y = softest.warp_first(pose)[0]
        rows, columns = x.shape
        assert (x + torch.linspace(-1, 1, 2 * columns + 1)[1::2]).abs().max() <= 1.0
        assert (y + torch.linspace(-1, 1, 2 * rows + 1)[1::2, None]).abs().max() <= 1.0


def test_each_flow_is_softer_than_the_one_before_and_the_same_each_time(ends: tuple[Tensor, Tensor]) -> None:
    once, again = (list(islice(flow.find_flows(*ends), 2)) for _ in range(2))
    assert 0.0 < once[0].bending < once[1].bending
    assert all(torch.equal(one.velocity, other.velocity) for one, other in zip(once, again, strict=True))


def test_pictures_that_are_not_double_exposed_have_no_ghosting(ends: tuple[Tensor, Tensor]) -> None:
    first, second = ends
    noise = torch.randn(first.shape, generator=torch.Generator().manual_seed(0))
    assert score_ghosting(first, first, first) == pytest.approx(0.0, abs=1e-6)
    assert score_ghosting(first, first, second) == pytest.approx(0.0, abs=1e-3)
    assert score_ghosting(noise, first, second) < 0.1
    assert score_ghosting(torch.zeros_like(first), torch.zeros_like(first), torch.zeros_like(first)) == 0.0


def test_ghosting_of_an_average_is_the_gradient_energy_that_it_loses() -> None:
    chance = torch.Generator().manual_seed(1)
    first, other = torch.rand(2, 1, 3, 48, 48, generator=chance)
    second = 0.4 * first + 0.6 * other
    between = 0.5 * (first + second)

    def energy(image: Tensor) -> float:
        return float(image.diff(dim=-1).square().sum() + image.diff(dim=-2).square().sum())

    lost = 2.0 * (1.0 - energy(between) / (0.5 * (energy(first) + energy(second))))
    assert score_ghosting(between, first, second) == pytest.approx(lost, abs=1e-3)


def test_ghosting_ignores_noise_of_the_decoder(ends: tuple[Tensor, Tensor]) -> None:
    noise = 0.3 * torch.randn(ends[0].shape, generator=torch.Generator().manual_seed(2))
    between = 0.5 * (ends[0] + ends[1])
    assert score_ghosting(between + noise, *ends) == pytest.approx(score_ghosting(between, *ends), abs=0.1)


def test_local_weights_sum_to_one_everywhere() -> None:
    maps = compute_saliency([to_tensor(disk(0.3, 0.5)), to_tensor(disk(0.7, 0.5)), to_tensor(disk(0.5, 0.2))])
    local = compute_local_weights({0: 0.2, 1: 0.5, 2: 0.3}, dict(enumerate(maps)), 1.0)
    assert torch.allclose(torch.stack(list(local.values())).sum(0), torch.ones_like(local[0]), atol=1e-5)


def test_without_handover_weights_are_the_same_everywhere() -> None:
    maps = compute_saliency([to_tensor(disk(0.3, 0.5)), to_tensor(disk(0.7, 0.5))])
    local = compute_local_weights({0: 0.25, 1: 0.75}, dict(enumerate(maps)), 0.0)
    assert torch.allclose(local[1], torch.full_like(local[1], 0.75), atol=1e-5)


def test_the_more_detailed_picture_dominates_a_region() -> None:
    maps = compute_saliency([to_tensor(disk(0.3, 0.5)), to_tensor(disk(0.7, 0.5))])
    local = compute_local_weights({0: 0.5, 1: 0.5}, dict(enumerate(maps)), 1.0)
    middle, width = local[0].shape[-2] // 2, local[0].shape[-1]
    left_edge, right_edge = round(0.14 * width), round(0.86 * width)
    assert local[0][0, 0, middle, left_edge] > 0.9
    assert local[0][0, 0, middle, right_edge] < 0.1


def test_a_picture_of_weight_zero_is_left_out() -> None:
    maps = compute_saliency([to_tensor(disk(0.3, 0.5)), to_tensor(disk(0.7, 0.5))])
    local = compute_local_weights({0: 1.0, 1: 0.0}, dict(enumerate(maps)), 1.0)
    assert list(local) == [0]
    assert math.isclose(local[0].min().item(), 1.0)
