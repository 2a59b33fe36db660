"""Interpolation between latents: the position of each frame, and the weights of the latents in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

LatentPath: TypeAlias = Literal["linear", "spherical", "catmull-rom"]
Easing: TypeAlias = Literal["smooth", "linear", "in", "out"]
Motion: TypeAlias = Literal["once", "loop", "ping-pong"]


def compute_frame_positions(frames: int, count: int, motion: Motion) -> list[float]:
    """Return the position of each frame: k is picture k, and k + t lies between pictures k and k + 1.

    `once` begins and ends on a picture. `loop` continues from the last picture to the first, whose
    position is then `count`; `ping-pong` returns the same way. Both leave out the frame that would be
    shown twice when the player repeats.
    """
    if motion == "once":
        return [(count - 1) * frame / max(frames - 1, 1) for frame in range(frames)]
    if motion == "loop":
        return [count * frame / frames for frame in range(frames)]
    return [(count - 1) * (1.0 - abs(1.0 - 2.0 * frame / frames)) for frame in range(frames)]


def ease(t: float, easing: Easing) -> float:
    """Map time 0..1 to progress 0..1: `smooth` is slow at both ends (3t² - 2t³), `in` starts and `out` ends slowly."""
    match easing:
        case "smooth":
            return t * t * (3.0 - 2.0 * t)
        case "in":
            return t * t
        case "out":
            return t * (2.0 - t)
        case _:
            return t


def compute_weights(
    path: LatentPath, latents: Sequence[Tensor], start: int, t: Tensor | float, *, closed: bool = False
) -> dict[int, Tensor | float]:
    """Return the weights of the latents, by index, at the fraction `t` (0..1) from latent `start` to the next.

    With `closed`, the last latent is followed by the first. If `t` is a map, so are the weights.
    """
    end = (start + 1) % len(latents)
    if path == "catmull-rom":
        return _catmull_rom(latents, start, t, closed)
    first, second = compute_slerp_weights(latents[start], latents[end], t) if path == "spherical" else (1.0 - t, t)
    return {start: first, end: second}


def compute_slerp_weights(first: Tensor, second: Tensor, t: Tensor | float) -> tuple[Tensor | float, Tensor | float]:
    """Return the two weights of spherical interpolation (Shoemake 1985; White 2016, Sampling Generative Networks).

    It keeps the norm, of which averaging unlike latents loses up to 30 %, and contrast with it.
    """
    import torch

    a, b = first.flatten().double(), second.flatten().double()
    cosine = float(torch.dot(a, b) / (a.norm() * b.norm()).clamp_min(1e-12))
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if math.sin(angle) < 1e-4:
        return 1.0 - t, t
    fraction = torch.as_tensor(t)
    return torch.sin((1.0 - fraction) * angle) / math.sin(angle), torch.sin(fraction * angle) / math.sin(angle)


def _catmull_rom(latents: Sequence[Tensor], start: int, t: Tensor | float, closed: bool) -> dict[int, Tensor | float]:
    """Return the weights of the centripetal spline (Yuksel et al. 2011), by the scheme of Barry and Goldman (1988).

    An open curve is extended in straight lines at its ends, so between two latents it is linear.
    """
    count = len(latents)
    end = (start + 1) % count
    before: dict[int, Tensor | float] = {start: 2.0, end: -1.0}
    after: dict[int, Tensor | float] = {end: 2.0, start: -1.0}
    middle = _knot_distance(latents[start], latents[end])
    first = last = middle
    if closed or start > 0:
        index = (start - 1) % count
        before, first = {index: 1.0}, _knot_distance(latents[index], latents[start])
    if closed or start + 2 < count:
        index = (start + 2) % count
        after, last = {index: 1.0}, _knot_distance(latents[end], latents[index])
    knots = (-first, 0.0, middle, middle + last)
    points: list[dict[int, Tensor | float]] = [before, {start: 1.0}, {end: 1.0}, after]
    for span in (1, 2, 3):
        points = [
            _interpolate(points[i], points[i + 1], *_interval(knots, i, span), t * middle) for i in range(4 - span)
        ]
    return points[0]


def _interval(knots: Sequence[float], index: int, span: int) -> tuple[float, float]:
    """Return the knot interval of one step of the pyramid; the last step uses the middle interval only."""
    return (knots[1], knots[2]) if span == 3 else (knots[index], knots[index + span])


def _knot_distance(first: Tensor, second: Tensor) -> float:
    return math.sqrt(max(float((first - second).norm()), 1e-6))


def _interpolate(
    first: Mapping[int, Tensor | float],
    second: Mapping[int, Tensor | float],
    start: float,
    end: float,
    at: Tensor | float,
) -> dict[int, Tensor | float]:
    fraction = (at - start) / (end - start)
    return {
        index: (1.0 - fraction) * first.get(index, 0.0) + fraction * second.get(index, 0.0)
        for index in first.keys() | second.keys()
    }
