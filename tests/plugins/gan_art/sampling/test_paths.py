"""Paths through styles: stops, closed paths, and lengths."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
import torch

from plugins.gan_art.sampling.layers import parse_layers, split_layers
from plugins.gan_art.sampling.paths import PathKind, interpolate, interpolate_spherically
from studio import api

STOPS = torch.randn(4, 3, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", get_args(PathKind))
def test_a_path_passes_through_its_stops(kind: PathKind) -> None:
    for closed in (False, True):
        for number, stop in enumerate(STOPS):
            assert torch.allclose(interpolate(kind, STOPS, number, closed=closed), stop, atol=1e-5)
    assert torch.allclose(interpolate(kind, STOPS, 4, closed=True), STOPS[0], atol=1e-5)
    assert torch.allclose(interpolate(kind, STOPS, 9, closed=False), STOPS[3], atol=1e-5)


@pytest.mark.parametrize("kind", get_args(PathKind))
@pytest.mark.parametrize("stops", [2, 4])
def test_a_closed_path_moves_over_the_seam_as_elsewhere(kind: PathKind, stops: int) -> None:
    places = [interpolate(kind, STOPS[:stops], stops * step / 100, closed=True) for step in range(101)]
    steps = [float((after - before).norm()) for before, after in pairwise(places)]
    assert max(steps) < 3 * sum(steps) / len(steps)
    assert min(steps) > 0


@pytest.mark.parametrize("kind", get_args(PathKind))
def test_lengths_stay_between_those_of_the_stops(kind: PathKind) -> None:
    middle = interpolate(kind, STOPS, 1.5, closed=True).norm(dim=-1)
    ends = torch.stack([STOPS[1].norm(dim=-1), STOPS[2].norm(dim=-1)])
    assert bool((middle >= ends.amin(0) - 1e-4).all())
    assert bool((middle <= ends.amax(0) + 1e-4).all())


def test_equal_and_opposite_directions_have_no_hole() -> None:
    point = torch.ones(1, 4)
    assert torch.allclose(interpolate_spherically(point, 3 * point, 0.5), 2 * point)
    assert bool(interpolate_spherically(point, -point, 0.25).isfinite().all())


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, (1, 1, 1)), (2, (1, 1, 0)), (6, (2, 2, 2)), (8, (3, 3, 2)), (10, (4, 4, 2)), (18, (4, 4, 10))],
)
def test_layers_are_split_into_coarse_middle_and_fine(count: int, sizes: tuple[int, ...]) -> None:
    ranges = split_layers(count)
    assert tuple(len(numbers) for numbers in ranges) == sizes
    if count > 1:
        assert [number for numbers in ranges for number in numbers] == [*range(count)]


def test_layers_are_read_from_numbers_and_ranges() -> None:
    assert parse_layers("0-2, 5 7", 8) == [0, 1, 2, 5, 7]
    assert parse_layers("", 8) == []
    for wrong in ("fine", "3-1", "0-8", "-1", "1-", "99999"):
        with pytest.raises(api.BadInput):
            parse_layers(wrong, 8)
