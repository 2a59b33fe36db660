"""A large picture out of overlapping tiles, blended so that no seam shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TileRow:
    """Tiles along one side: each `length` pixels long, beginning at `starts`, the last ending with the side."""

    length: int
    starts: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.starts[-1] + self.length

    def weight(self, number: int) -> NDArray[np.float32]:
        """How much of a tile is seen over the one before it, [length] from 0 to 1, with no edge anywhere."""
        import numpy as np

        weight = np.ones(self.length, np.float32)
        if number and (shared := self.length - (self.starts[number] - self.starts[number - 1])):
            ramp = (np.arange(shared, dtype=np.float32) + 0.5) / shared
            weight[:shared] = ramp * ramp * (3 - 2 * ramp)
        return weight


def plan_row(side: int, length: int, overlap: int, step: int) -> TileRow:
    """Evenly spread tiles over a side. All are multiples of `step` pixels; tiles share at least `overlap`.

    An overlap of more than half a tile counts as half of one.
    """
    length = min(length, side)
    if length == side:
        return TileRow(length, (0,))
    stride = max(step, (length - min(overlap, length // 2)) // step * step)
    gaps = math.ceil((side - length) / stride)
    return TileRow(length, tuple((side - length) * number // gaps // step * step for number in range(gaps + 1)))


class TileBlender:
    """Tiles laid over a canvas [h, w, 3] of 0..255, row by row. Only one row is held besides the canvas.

    What stands over the canvas' right and lower edge is cut off.
    """

    def __init__(self, canvas: NDArray[np.uint8], across: TileRow, down: TileRow) -> None:
        import numpy as np

        self.canvas = canvas
        self._across = across
        self._down = down
        self._strip = np.zeros((down.length, across.end, 3), np.float32)

    def lay(self, column: int, line: int, tile: NDArray[np.uint8]) -> None:
        """The tile [length, length, 3] at a place; places are taken from left to right, then downwards."""
        left = self._across.starts[column]
        place = self._strip[:, left : left + self._across.length]
        weight = self._across.weight(column)[:, None]
        place[:] = place * (1 - weight) + tile * weight
        if column == len(self._across.starts) - 1:
            top = self._down.starts[line]
            blended = self._blended(line, 0, self._across.end)
            self.canvas[top : top + len(blended)] = blended

    def around(self, column: int, line: int) -> NDArray[np.uint8]:
        """How the place of the tile that was just laid looks."""
        left = self._across.starts[column]
        if column == len(self._across.starts) - 1:
            top = self._down.starts[line]
            return self.canvas[top : top + self._down.length, left:]
        return self._blended(line, left, left + self._across.length)

    def _blended(self, line: int, left: int, right: int) -> NDArray[np.uint8]:
        import numpy as np

        top = self._down.starts[line]
        below = self.canvas[top : top + self._down.length, left:right]
        height, width = below.shape[:2]
        weight = self._down.weight(line)[:height, None, None]
        mixed = below * (1 - weight) + self._strip[:height, left : left + width] * weight
        return (mixed + 0.5).astype(np.uint8)
