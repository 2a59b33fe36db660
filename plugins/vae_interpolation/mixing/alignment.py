"""Whether, and how, shapes are brought onto each other before pictures are mixed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from studio import api

from . import flow, images
from .ghosting import ghosting
from .mixer import Mixer, Share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..models.codec import Codec

Align: TypeAlias = Literal["auto", "flow", "none"]
SCOUT = 160
"""Long side in pixels of the copies on which ghosting is measured."""
PRICE = 0.15
"""How much less ghosting is asked of a flow for each whole of bending, at medium strength. Weighed
by eye: like pictures get a close fit, and a cup that becomes a rocket stays a cup for a while."""


@dataclass(frozen=True)
class Pair:
    """Two pictures: the flow that is used, and the ghosting half-way without and with one, where it was measured."""

    flow: flow.Flow | None = None
    plain: float | None = None
    aligned: float | None = None


def compare(
    codec: Codec,
    opened: Sequence[NDArray[np.float32]],
    which: Sequence[tuple[int, int]],
    ctx: api.Context,
    *,
    align: Align,
    strength: float,
) -> list[Pair]:
    """Finds, for the pictures of each pair, the flow that is worth its bending; on small copies.

    `strength`, 0..1, is how freely shapes may move: each step from 0 to 1/2 to 1 makes bending
    four times cheaper. With `auto` a flow is used only if it is better than none, with `flow`
    always; with `none` none is looked for.
    """
    if align == "none":
        return [Pair() for _ in which]
    mixer = Mixer(codec, [images.shrunk(picture, SCOUT, codec) for picture in opened])
    price = PRICE * 4.0 ** (1.0 - 2.0 * strength)
    pairs: list[Pair] = []
    for first, second in which:
        ctx.emit(api.Progress(len(pairs), len(which), "Comparing shapes"))
        plain = _ghosting_halfway(mixer, {first: None, second: None})
        best, aligned, cost = None, 1.0, math.inf
        for found in flow.flows(mixer.images[first], mixer.images[second]):
            ctx.check_cancelled()
            ghosts = _ghosting_halfway(mixer, {first: found.of_first(0.5), second: found.of_second(0.5)})
            if ghosts + price * found.bending >= cost:
                break
            best, aligned, cost = found, ghosts, ghosts + price * found.bending
        pairs.append(Pair(best if align == "flow" or cost < plain else None, plain, aligned))
    return pairs


def tell(pairs: Sequence[Pair], ctx: api.Context) -> None:
    """Notes the ghosting of all pairs, and says it to the artist, where it was measured."""
    measured = [(pair.plain, pair.aligned) for pair in pairs if pair.plain is not None and pair.aligned is not None]
    if not measured:
        return
    plain, aligned = (sum(scores) / len(measured) for scores in zip(*measured, strict=True))
    taken = sum(pair.flow is not None for pair in pairs)
    ctx.note(
        "ghosting", {"plain": round(plain, 3), "aligned": round(aligned, 3), "pairs": [_in_figures(p) for p in pairs]}
    )
    if taken == len(pairs):
        used = "Shapes are aligned"
    else:
        used = f"Shapes are aligned for {taken} of {len(pairs)} pairs" if taken else "Shapes stay where they are"
    if not ctx.draft:
        found = f"{100 * plain:.0f} % with plain averages, {100 * aligned:.0f} % with shapes aligned"
        ctx.emit(api.Notice(f"{used}. Ghosting half-way: {found}."))


def _in_figures(pair: Pair) -> dict[str, Any]:
    return {
        "plain": round(pair.plain or 0.0, 3),
        "aligned": round(pair.aligned or 0.0, 3),
        "used": "flow" if pair.flow else "none",
    }


def _ghosting_halfway(mixer: Mixer, warps: Mapping[int, Tensor | None]) -> float:
    between = mixer.mixed([Share(picture, 0.5, 0.5, warp) for picture, warp in warps.items()])
    first, second = (mixer.mixed([Share(picture, 1.0, 1.0, warp)]) for picture, warp in warps.items())
    return ghosting(between, first, second)


@dataclass(frozen=True)
class Star:
    """Several pictures, each with a flow from the first, brought to a pose between them all."""

    pairs: tuple[Pair, ...]

    def warps(self, shares: Mapping[int, float]) -> dict[int, Tensor | None]:
        """Each picture's field to the mean of the poses, weighed by `shares` (of sum 1).

        The mean is that of the velocities, as between two pictures (log-Euclidean).
        """
        velocities = {number: pair.flow.velocity for number, pair in enumerate(self.pairs, 1) if pair.flow}
        pose = sum((shares.get(number, 0.0) * velocity for number, velocity in velocities.items()), start=0.0)
        if not velocities or isinstance(pose, float):
            return dict.fromkeys(shares)
        home = flow.exponential(pose, -1.0)
        return {
            picture: flow.composed(flow.exponential(velocities[picture]), home) if picture in velocities else home
            for picture in shares
        }
