"""Compose a large image from overlapping tiles, blended so that no seam shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TileRow:
    """Tiles along one side of an image, each `length` pixels long. They begin at `starts`; the last ends the side."""

    length: int
    starts: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.starts[-1] + self.length

    def compute_opacity(self, index: int) -> NDArray[np.float32]:
        """Return the opacity [length] of a tile over the one before it, a smooth ramp from 0 to 1 in the overlap."""
        import numpy as np

        opacity = np.ones(self.length, np.float32)
        if index and (overlap := self.length - (self.starts[index] - self.starts[index - 1])):
            ramp = (np.arange(overlap, dtype=np.float32) + 0.5) / overlap
            opacity[:overlap] = ramp * ramp * (3 - 2 * ramp)
        return opacity


def plan_row(side: int, length: int, overlap: int, multiple: int) -> TileRow:
    """Spread tiles evenly over a side.

    All lengths are in pixels and multiples of `multiple`. Neighbouring tiles share at least `overlap`, or half of a
    tile if that is less.
    """
    length = min(length, side)
    if length == side:
        return TileRow(length, (0,))
    stride = max(multiple, (length - min(overlap, length // 2)) // multiple * multiple)
    gaps = math.ceil((side - length) / stride)
    starts = tuple((side - length) * number // gaps // multiple * multiple for number in range(gaps + 1))
    return TileRow(length, starts)


class TileBlender:
    """Blends tiles into a canvas [h, w, 3] of 8 bits, row by row. Only one row of tiles is kept besides the canvas.

    Tiles are cropped at the right and the lower edge of the canvas.
    """

    def __init__(self, canvas: NDArray[np.uint8], across: TileRow, down: TileRow) -> None:
        import numpy as np

        self.canvas = canvas
        self._across = across
        self._down = down
        self._row_pixels = np.zeros((down.length, across.end, 3), np.float32)

    def add_tile(self, column: int, row: int, tile: NDArray[np.uint8]) -> None:
        """Blend a tile [length, length, 3] in. Tiles are added from left to right, then from top to bottom."""
        left = self._across.starts[column]
        area = self._row_pixels[:, left : left + self._across.length]
        opacity = self._across.compute_opacity(column)[:, None]
        area[:] = area * (1 - opacity) + tile * opacity
        if column == len(self._across.starts) - 1:
            top = self._down.starts[row]
            blended = self._blend_row(row, 0, self._across.end)
            self.canvas[top : top + len(blended)] = blended

    def crop_tile(self, column: int, row: int) -> NDArray[np.uint8]:
        """Return the pixels in the area of the tile that was added last."""
        left = self._across.starts[column]
        if column == len(self._across.starts) - 1:
            top = self._down.starts[row]
            return self.canvas[top : top + self._down.length, left:]
        return self._blend_row(row, left, left + self._across.length)

    def _blend_row(self, row: int, left: int, right: int) -> NDArray[np.uint8]:
        import numpy as np

        top = self._down.starts[row]
        below = self.canvas[top : top + self._down.length, left:right]
        height, width = below.shape[:2]
        opacity = self._down.compute_opacity(row)[:height, None, None]
        blended = below * (1 - opacity) + self._row_pixels[:height, left : left + width] * opacity
        return (blended + 0.5).astype(np.uint8)
