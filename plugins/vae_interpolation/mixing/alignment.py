"""Alignment of shapes before pictures are mixed: whether it helps, and with which flow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from studio import api

from . import flow, images
from .ghosting import score_ghosting
from .mixer import Contribution, Mixer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..models.codec import Codec

AlignMode: TypeAlias = Literal["auto", "flow", "none"]
COMPARISON_SIZE = 160
"""Long side in pixels of the copies on which ghosting is scored."""
BENDING_COST = 0.15
"""Reduction of ghosting that one unit of bending must bring, at medium strength. Chosen by eye: similar
pictures fit closely, and a cup that becomes a rocket stays a cup for a while."""


@dataclass(frozen=True)
class PairAlignment:
    """The flow between two pictures, if one is used, and the ghosting half-way, if it was scored."""

    flow: flow.Flow | None = None
    plain_ghosting: float | None = None
    """Without alignment."""
    aligned_ghosting: float | None = None
    """With the best flow."""


def align_pairs(
    codec: Codec,
    pictures: Sequence[NDArray[np.float32]],
    pairs: Sequence[tuple[int, int]],
    ctx: api.Context,
    *,
    align: AlignMode,
    strength: float,
) -> list[PairAlignment]:
    """Find the flow between the pictures of each pair that reduces ghosting most for its bending.

    `strength`, 0..1, allows shapes to move: each step from 0 to 1/2 to 1 makes bending four times
    cheaper. With `auto` a flow is used only if it is better than none, with `flow` always; with `none`
    nothing is computed. It works on small copies of the pictures ([h, w, 3] in 0..1).
    """
    if align == "none":
        return [PairAlignment() for _ in pairs]
    mixer = Mixer(codec, [images.shrink(picture, COMPARISON_SIZE, codec) for picture in pictures])
    bending_cost = BENDING_COST * 4.0 ** (1.0 - 2.0 * strength)
    alignments: list[PairAlignment] = []
    for first, second in pairs:
        ctx.emit(api.Progress(len(alignments), len(pairs), "Comparing shapes"))
        plain = _ghosting_halfway(mixer, {first: None, second: None})
        best, aligned, cost = None, 1.0, math.inf
        for candidate in flow.find_flows(mixer.images[first], mixer.images[second]):
            ctx.check_cancelled()
            warps = {first: candidate.warp_first(0.5), second: candidate.warp_second(0.5)}
            ghosting = _ghosting_halfway(mixer, warps)
            if ghosting + bending_cost * candidate.bending >= cost:
                break
            best, aligned, cost = candidate, ghosting, ghosting + bending_cost * candidate.bending
        is_used = align == "flow" or cost < plain
        alignments.append(PairAlignment(best if is_used else None, plain, aligned))
    return alignments


def report_ghosting(pairs: Sequence[PairAlignment], ctx: api.Context) -> None:
    """Write the ghosting of all pairs into the recipe's notes and tell the artist, if it was scored."""
    scores = [
        (pair.plain_ghosting, pair.aligned_ghosting)
        for pair in pairs
        if pair.plain_ghosting is not None and pair.aligned_ghosting is not None
    ]
    if not scores:
        return
    plain, aligned = (sum(values) / len(scores) for values in zip(*scores, strict=True))
    ctx.note(
        "ghosting", {"plain": round(plain, 3), "aligned": round(aligned, 3), "pairs": [_pair_note(p) for p in pairs]}
    )
    if ctx.draft:
        return
    count = sum(pair.flow is not None for pair in pairs)
    if count == len(pairs):
        summary = "Shapes are aligned"
    else:
        summary = f"Shapes are aligned for {count} of {len(pairs)} pairs" if count else "Shapes are not aligned"
    percentages = f"{100 * plain:.0f} % without alignment, {100 * aligned:.0f} % with alignment"
    ctx.emit(api.Notice(f"{summary}. Ghosting half-way: {percentages}."))


def _pair_note(pair: PairAlignment) -> dict[str, Any]:
    return {
        "plain": round(pair.plain_ghosting or 0.0, 3),
        "aligned": round(pair.aligned_ghosting or 0.0, 3),
        "used": "flow" if pair.flow else "none",
    }


def _ghosting_halfway(mixer: Mixer, warps: Mapping[int, Tensor | None]) -> float:
    blend = mixer.mix([Contribution(picture, 0.5, 0.5, warp) for picture, warp in warps.items()])
    first, second = (mixer.mix([Contribution(picture, 1.0, 1.0, warp)]) for picture, warp in warps.items())
    return score_ghosting(blend, first, second)


@dataclass(frozen=True)
class StarAlignment:
    """Several pictures, each aligned with the first, which can be warped to a mean pose of them all."""

    pairs: tuple[PairAlignment, ...]

    def compute_warps(self, weights: Mapping[int, float]) -> dict[int, Tensor | None]:
        """Return the field that warps each picture to the mean pose, for weights that sum to 1.

        The mean is taken over the velocities, as between two pictures (log-Euclidean).
        """
        velocities = {number: pair.flow.velocity for number, pair in enumerate(self.pairs, 1) if pair.flow}
        pose = sum((weights.get(number, 0.0) * velocity for number, velocity in velocities.items()), start=0.0)
        if not velocities or isinstance(pose, float):
            return dict.fromkeys(weights)
        from_first = flow.integrate(pose, -1.0)
        return {
            picture: flow.compose(flow.integrate(velocities[picture]), from_first)
            if picture in velocities
            else from_first
            for picture in weights
        }
