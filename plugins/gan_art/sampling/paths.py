"""Paths through latents or styles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

PathKind = Literal["spherical", "spline"]


def count_segments(stops: int, *, closed: bool) -> int:
    """Return the number of segments between stops; a closed path leads from the last to the first."""
    return stops if closed else stops - 1


def interpolate(kind: PathKind, stops: Tensor, position: float, *, closed: bool) -> Tensor:
    """Return the point at a position on a path through stops [n, …, size]: 0 is the first stop, 1 the second.

    Directions are those of the last dimension. On a closed path, the position n is the first stop again.
    """
    segments = count_segments(len(stops), closed=closed)
    position = position % segments if closed else min(max(position, 0.0), segments)
    start = min(int(position), segments - 1)
    t = position - start
    first, second = stops[start], stops[(start + 1) % len(stops)]
    if kind == "spherical":
        return interpolate_spherically(first, second, t)
    before = stops[start - 1] if closed or start else 2 * first - second
    has_next = closed or start + 2 < len(stops)
    after = stops[(start + 2) % len(stops)] if has_next else 2 * second - first
    return _keep_length(_interpolate_by_spline(before, first, second, after, t), first, second, t)


def interpolate_spherically(first: Tensor, second: Tensor, t: float) -> Tensor:
    """Return the point at `t` in 0..1 on the great circle from one to the other; lengths change evenly."""
    import torch

    cosine = torch.nn.functional.cosine_similarity(first, second, dim=-1).clamp(-1, 1)[..., None]
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    is_straight = sine < 1e-4
    divisor = torch.where(is_straight, torch.ones_like(sine), sine)
    weights = [
        torch.where(is_straight, torch.full_like(sine, share), torch.sin(share * angle) / divisor)
        for share in (1 - t, t)
    ]
    lengths = [_length(first), _length(second)]
    directions = weights[0] * first / lengths[0] + weights[1] * second / lengths[1]
    point: Tensor = directions * (lengths[0] * (1 - t) + lengths[1] * t)
    return point


def _interpolate_by_spline(before: Tensor, first: Tensor, second: Tensor, after: Tensor, t: float) -> Tensor:
    """Return the point at `t` of a Catmull-Rom spline, which passes through all stops without a corner."""
    linear = second - before
    square = 2 * before - 5 * first + 4 * second - after
    cube = 3 * first - before - 3 * second + after
    return first + 0.5 * t * (linear + t * (square + t * cube))


def _keep_length(point: Tensor, first: Tensor, second: Tensor, t: float) -> Tensor:
    """Scale a point to the length between those of its neighbours: shorter ones look like the average."""
    length = _length(first) * (1 - t) + _length(second) * t
    return point / _length(point) * length


def _length(point: Tensor) -> Tensor:
    length: Tensor = point.norm(dim=-1, keepdim=True)
    return length.clamp_min(1e-8)
