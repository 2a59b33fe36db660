"""Two to four pictures at the corners of a square, mixed at any point in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio import api

from . import images
from .alignment import Align, Pair, Star, compare
from .mixer import Mixer, Share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..models.codec import Codec


def corner_shares(count: int, across: float, down: float) -> dict[int, float]:
    """The share of each picture at a point 0..1 across and down; pictures without a share are left out.

    Four pictures stand top left, top right, bottom left and bottom right; of three the last
    has both bottom corners, and two stand left and right, whatever `down` is.
    """
    left, right, top, bottom = 1.0 - across, across, 1.0 - down, down
    if count == 2:
        shares = [left, right]
    elif count == 3:
        shares = [top * left, top * right, bottom]
    else:
        shares = [top * left, top * right, bottom * left, bottom * right]
    return {picture: share for picture, share in enumerate(shares) if share > 0.0}


@dataclass(frozen=True)
class Corners:
    """The pictures, encoded once, and the flows between them."""

    mixer: Mixer
    star: Star

    @property
    def pairs(self) -> tuple[Pair, ...]:
        return self.star.pairs

    def at(self, across: float, down: float, *, handover: float) -> NDArray[np.uint8]:
        """The mix at a point, [height, width, 3] in 0..255."""
        shares = corner_shares(len(self.mixer.images), across, down)
        warps = self.star.warps(shares)
        local = self.mixer.local(shares, warps, handover)
        return self.mixer.render(
            [
                Share(picture, local[picture] if self.mixer.codec.spatial else share, local[picture], warps[picture])
                for picture, share in shares.items()
            ]
        )


def corners(
    codec: Codec,
    opened: Sequence[NDArray[np.float32]],
    ctx: api.Context,
    *,
    align: Align,
    strength: float,
    detail: float,
) -> Corners:
    """Finds the flows from the first picture to each other one, and encodes them all."""
    which = [(0, other) for other in range(1, len(opened))]
    pairs = compare(codec, opened, which, ctx, align=align, strength=strength)
    return Corners(Mixer(codec, images.one_by_one(opened, ctx), detail=detail), Star(tuple(pairs)))
