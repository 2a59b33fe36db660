"""Whether, and how, shapes are brought onto each other before pictures are mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from studio import api

from . import flow, pictures
from .ghosting import ghosting
from .mixing import Mixer, Share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from .models import Codec

Align: TypeAlias = Literal["auto", "flow", "none"]
SCOUT = 160
"""Long side in pixels of the copies on which ghosting is measured."""
MARGIN = 0.01
"""So much less ghosting is asked of a warp before it is taken by itself."""


@dataclass(frozen=True)
class Pair:
    """Two pictures: the flow that is used, and the ghosting half-way without and with one."""

    flow: flow.Flow | None
    plain: float
    aligned: float


class Scout:
    """Small copies of all pictures, on which flows are found and compared."""

    def __init__(self, codec: Codec, opened: Sequence[NDArray[np.float32]]) -> None:
        self._mixer = Mixer(codec, [pictures.shrunk(picture, SCOUT, codec) for picture in opened])

    def pair(self, first: int, second: int, align: Align, strength: float) -> Pair:
        """`strength`, 0..1, is how far shapes may move; with `auto` the flow has to prove itself."""
        images = self._mixer.images
        found = flow.estimate(images[first], images[second], flow.STIFFNESS * 4.0 ** (1.0 - 2.0 * strength))
        plain = self._ghosting(first, second, None, None)
        aligned = self._ghosting(first, second, found.of_first(0.5), found.of_second(0.5))
        better = aligned < plain - MARGIN if align == "auto" else align == "flow"
        return Pair(found if better else None, plain, aligned)

    def _ghosting(self, first: int, second: int, to_first: Tensor | None, to_second: Tensor | None) -> float:
        warps = {first: to_first, second: to_second}
        between = self._mixer.mixed([Share(picture, 0.5, 0.5, warp) for picture, warp in warps.items()])
        ends = [self._mixer.mixed([Share(picture, 1.0, 1.0, warp)]) for picture, warp in warps.items()]
        return ghosting(between, ends[0], ends[1])


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


def report(pairs: Sequence[Pair]) -> tuple[dict[str, Any], api.Notice]:
    """The ghosting of all pairs, for the recipe's notes and for the artist."""
    plain = sum(pair.plain for pair in pairs) / len(pairs)
    aligned = sum(pair.aligned for pair in pairs) / len(pairs)
    taken = sum(pair.flow is not None for pair in pairs)
    if taken == len(pairs):
        used = "shapes are aligned"
    else:
        used = f"shapes are aligned for {taken} of {len(pairs)} pairs" if taken else "plain averages are used"
    note = {
        "plain": round(plain, 3),
        "aligned": round(aligned, 3),
        "pairs": [
            {"plain": round(pair.plain, 3), "aligned": round(pair.aligned, 3), "used": "flow" if pair.flow else "none"}
            for pair in pairs
        ],
    }
    words = f"Ghosting half-way: {plain:.0%} with plain averages, {aligned:.0%} with shapes aligned; {used}."
    return note, api.Notice(words)
