"""Ways from latent to latent: where each frame stands, and how much of each picture is in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Path: TypeAlias = Literal["linear", "spherical", "catmull-rom"]
Easing: TypeAlias = Literal["smooth", "linear", "in", "out"]
Motion: TypeAlias = Literal["once", "loop", "ping-pong"]


def positions(frames: int, count: int, motion: Motion) -> list[float]:
    """Where each frame stands: k is picture k, k + t lies between pictures k and k + 1.

    `once` begins and ends on a picture. `loop` goes on from the last picture towards the
    first, at `count`, and `ping-pong` back the way it came; both leave the frame out that
    would be shown twice when the player starts again.
    """
    if motion == "once":
        return [(count - 1) * frame / max(frames - 1, 1) for frame in range(frames)]
    if motion == "loop":
        return [count * frame / frames for frame in range(frames)]
    return [(count - 1) * (1.0 - abs(1.0 - 2.0 * frame / frames)) for frame in range(frames)]


def eased(t: float, easing: Easing) -> float:
    """0..1 to 0..1: `smooth` rests at both ends (3t² - 2t³), `in` starts slowly, `out` ends slowly."""
    match easing:
        case "smooth":
            return t * t * (3.0 - 2.0 * t)
        case "in":
            return t * t
        case "out":
            return t * (2.0 - t)
        case _:
            return t


def weights(
    path: Path, latents: Sequence[Tensor], here: int, t: Tensor | float, *, closed: bool = False
) -> dict[int, Tensor | float]:
    """How much of each latent is in the point `t` (0..1) of the way from latent `here` to the next.

    With `closed` the last leads to the first. Where `t` is a map, so are the weights.
    """
    there = (here + 1) % len(latents)
    if path == "catmull-rom":
        return _catmull_rom(latents, here, t, closed)
    first, second = spherical(latents[here], latents[there], t) if path == "spherical" else (1.0 - t, t)
    return {here: first, there: second}


def spherical(first: Tensor, second: Tensor, t: Tensor | float) -> tuple[Tensor | float, Tensor | float]:
    """The two weights of spherical interpolation (Shoemake 1985; White 2016, Sampling Generative Networks).

    Keeps the norm where plain averaging of unlike latents loses up to 30 %, and with it contrast.
    """
    import torch

    a, b = first.flatten().double(), second.flatten().double()
    cosine = float(torch.dot(a, b) / (a.norm() * b.norm()).clamp_min(1e-12))
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if math.sin(angle) < 1e-4:
        return 1.0 - t, t
    share = torch.as_tensor(t)
    return torch.sin((1.0 - share) * angle) / math.sin(angle), torch.sin(share * angle) / math.sin(angle)


def _catmull_rom(latents: Sequence[Tensor], here: int, t: Tensor | float, closed: bool) -> dict[int, Tensor | float]:
    """The centripetal curve through all pictures (Yuksel et al. 2011), by the scheme of Barry and Goldman 1988.

    An open curve is carried on straight at its ends, so between two pictures it is the straight line.
    """
    count = len(latents)
    there = (here + 1) % count
    before: dict[int, Tensor | float] = {here: 2.0, there: -1.0}
    after: dict[int, Tensor | float] = {there: 2.0, here: -1.0}
    middle = _knot(latents[here], latents[there])
    first = last = middle
    if closed or here > 0:
        index = (here - 1) % count
        before, first = {index: 1.0}, _knot(latents[index], latents[here])
    if closed or here + 2 < count:
        index = (here + 2) % count
        after, last = {index: 1.0}, _knot(latents[there], latents[index])
    knots = (-first, 0.0, middle, middle + last)
    points: list[dict[int, Tensor | float]] = [before, {here: 1.0}, {there: 1.0}, after]
    for span in (1, 2, 3):
        points = [_between(points[i], points[i + 1], *_reach(knots, i, span), t * middle) for i in range(4 - span)]
    return points[0]


def _reach(knots: Sequence[float], index: int, span: int) -> tuple[float, float]:
    """Barry and Goldman's pyramid: the last step runs over the middle interval alone."""
    return (knots[1], knots[2]) if span == 3 else (knots[index], knots[index + span])


def _knot(first: Tensor, second: Tensor) -> float:
    return math.sqrt(max(float((first - second).norm()), 1e-6))


def _between(
    first: Mapping[int, Tensor | float],
    second: Mapping[int, Tensor | float],
    start: float,
    end: float,
    at: Tensor | float,
) -> dict[int, Tensor | float]:
    share = (at - start) / (end - start)
    return {
        index: (1.0 - share) * first.get(index, 0.0) + share * second.get(index, 0.0)
        for index in first.keys() | second.keys()
    }
