"""Two to four pictures at the corners of a square, mixed at any point in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio import api

from . import images
from .alignment import AlignMode, PairAlignment, StarAlignment, align_pairs
from .mixer import Contribution, Mixer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..models.codec import Codec


def compute_corner_weights(count: int, across: float, down: float) -> dict[int, float]:
    """Return the weight of each picture at a point 0..1 across and down; pictures of weight 0 are left out.

    Four pictures are top left, top right, bottom left and bottom right. Of three, the last has both
    bottom corners. Two are left and right, and `down` is ignored.
    """
    left, right, top, bottom = 1.0 - across, across, 1.0 - down, down
    if count == 2:
        weights = [left, right]
    elif count == 3:
        weights = [top * left, top * right, bottom]
    else:
        weights = [top * left, top * right, bottom * left, bottom * right]
    return {picture: weight for picture, weight in enumerate(weights) if weight > 0.0}


@dataclass(frozen=True)
class CornerMixer:
    """The pictures, encoded once, and the flows between them."""

    mixer: Mixer
    alignment: StarAlignment

    @property
    def pairs(self) -> tuple[PairAlignment, ...]:
        """Alignments of the first picture with each other one."""
        return self.alignment.pairs

    def render(self, across: float, down: float, *, handover: float) -> NDArray[np.uint8]:
        """Return the mix at a point, [height, width, 3] in 0..255."""
        weights = compute_corner_weights(len(self.mixer.images), across, down)
        warps = self.alignment.compute_warps(weights)
        local = self.mixer.to_local_weights(weights, warps, handover)
        is_spatial = self.mixer.codec.is_spatial
        return self.mixer.render(
            [
                Contribution(picture, local[picture] if is_spatial else weight, local[picture], warps[picture])
                for picture, weight in weights.items()
            ]
        )


def prepare_corners(
    codec: Codec,
    pictures: Sequence[NDArray[np.float32]],
    ctx: api.Context,
    *,
    align: AlignMode,
    strength: float,
    detail: float,
) -> CornerMixer:
    """Find the flows from the first picture to each other one, and encode all pictures ([h, w, 3] in 0..1)."""
    pairs = [(0, other) for other in range(1, len(pictures))]
    alignments = align_pairs(codec, pictures, pairs, ctx, align=align, strength=strength)
    mixer = Mixer(codec, images.report_encoding(pictures, ctx), detail=detail)
    return CornerMixer(mixer, StarAlignment(tuple(alignments)))
