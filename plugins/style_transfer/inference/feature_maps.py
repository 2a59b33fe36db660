"""The inner pictures of a network, computed row by row when they are asked for.

Each layer sees the rows that it needs, with the true rows beyond them, so that there are no seams.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from .feature_map_store import Kept

if TYPE_CHECKING:
    from torch import Tensor

LEAST_ROWS = 8
"""Fewer at once would compute most rows several times, for the sake of their neighbours."""
Edge: TypeAlias = Literal["reflect", "replicate", "constant"]


class Plane:
    """`shape` is (channels, height, width)."""

    def __init__(self, shape: tuple[int, int, int], *, cost: float = 0.0, load: float = 0.0) -> None:
        self.shape = shape
        self.cost = cost
        """Multiplications for one value, with those of the planes that it is made of, down to what is kept."""
        self.load = max(load, 4.0 * shape[0] * shape[2])
        """Bytes of the largest plane that it takes to compute one row."""

    def rows(self, top: int, bottom: int) -> Tensor:
        """[1, channels, bottom - top, width]."""
        raise NotImplementedError

    def bands(self, most: int) -> Iterator[tuple[int, int]]:
        """From top to bottom, as many rows at a time as `most` bytes hold of the largest plane."""
        height = self.shape[1]
        count = max(1, math.ceil(height / max(LEAST_ROWS, most / self.load)))
        for number in range(count):
            top, bottom = height * number // count, height * (number + 1) // count
            if top < bottom:
                yield top, bottom


class Given(Plane):
    """The picture itself. `read(top, bottom)` gives [1, channels, bottom - top, width]."""

    def __init__(self, shape: tuple[int, int, int], read: Callable[[int, int], Tensor]) -> None:
        super().__init__(shape)
        self._read = read

    def rows(self, top: int, bottom: int) -> Tensor:
        return self._read(top, bottom)


class Stored(Plane):
    """One that was computed and kept."""

    def __init__(self, kept: Kept) -> None:
        super().__init__(kept.shape)
        self._kept = kept

    def rows(self, top: int, bottom: int) -> Tensor:
        return self._kept.read(top, bottom)


class Pointwise(Plane):
    """A function of each value, or of each place where it changes the `channels`."""

    def __init__(self, of: Plane, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(of.shape, cost=of.cost, load=of.load)
        self._of = of
        self._function = function

    def rows(self, top: int, bottom: int) -> Tensor:
        return self._function(self._of.rows(top, bottom))


class Sum(Plane):
    """Two planes of one shape, added."""

    def __init__(self, one: Plane, other: Plane) -> None:
        super().__init__(one.shape, cost=one.cost + other.cost, load=max(one.load, other.load))
        self._both = (one, other)

    def rows(self, top: int, bottom: int) -> Tensor:
        one, other = self._both
        return one.rows(top, bottom) + other.rows(top, bottom)


class Beside(Plane):
    """The channels of several planes."""

    def __init__(self, planes: Sequence[Plane]) -> None:
        _, height, width = planes[0].shape
        shape = (sum(plane.shape[0] for plane in planes), height, width)
        super().__init__(shape, cost=max(plane.cost for plane in planes), load=max(plane.load for plane in planes))
        self._planes = planes

    def rows(self, top: int, bottom: int) -> Tensor:
        import torch

        return torch.cat([plane.rows(top, bottom) for plane in self._planes], 1)


class Padded(Plane):
    """A border of (left, right, above, below) px that mirrors, repeats, or is zero."""

    def __init__(self, of: Plane, border: tuple[int, int, int, int], edge: Edge) -> None:
        channels, height, width = of.shape
        left, right, above, below = border
        super().__init__((channels, height + above + below, width + left + right), cost=of.cost, load=of.load)
        self._of = of
        self._border = border
        self._edge = edge

    def rows(self, top: int, bottom: int) -> Tensor:
        from torch.nn import functional

        height = self._of.shape[1]
        left, right, above, _ = self._border
        top, bottom = top - above, bottom - above
        inside_top, inside_bottom = max(top, 0), min(bottom, height)
        if self._edge == "constant":
            if inside_top >= inside_bottom:
                inside_top, inside_bottom = 0, 1
            rows = self._of.rows(inside_top, inside_bottom)
            return functional.pad(rows, (left, right, inside_top - top, bottom - inside_bottom))
        reach = self._reach_inside(top, bottom, height)
        rows = self._of.rows(*reach)
        missing = (max(0, -top), max(0, bottom - height))
        rows = functional.pad(rows, (left, right, *missing), mode=self._edge)
        start = top - reach[0] + missing[0]
        return rows[:, :, start : start + bottom - top]

    def _reach_inside(self, top: int, bottom: int, height: int) -> tuple[int, int]:
        """Those rows that the wanted ones are, or mirror, or repeat."""
        first, last = max(top, 0), min(bottom, height) - 1
        if self._edge == "reflect":
            first = min(first, 2 * (height - 1) - (bottom - 1)) if bottom > height else first
            last = max(last, -top)
        return max(0, min(first, height - 1)), min(height, max(last, 0) + 1)


class Window(Plane):
    """A convolution without padding of its own, over `reach` rows, at every `step`-th place."""

    def __init__(
        self, of: Plane, function: Callable[[Tensor], Tensor], channels: int, reach: int, step: int, cost: float
    ) -> None:
        _, height, width = of.shape
        shape = (channels, (height - reach) // step + 1, (width - reach) // step + 1)
        ratio = of.shape[0] * step * step / channels
        super().__init__(shape, cost=cost + of.cost * ratio, load=of.load * step)
        self._of = of
        self._function = function
        self._reach = reach
        self._step = step

    def rows(self, top: int, bottom: int) -> Tensor:
        return self._function(self._of.rows(top * self._step, (bottom - 1) * self._step + self._reach))


class Spread(Plane):
    """A transposed convolution.

    `function` takes rows without padding above and below, and gives all that they touch; `padding` is what is
    then cut off above the first row.
    """

    def __init__(
        self,
        of: Plane,
        function: Callable[[Tensor], Tensor],
        channels: int,
        reach: int,
        step: int,
        padding: int,
        more: int,
        cost: float,
    ) -> None:
        _, height, width = of.shape
        tall, wide = ((side - 1) * step - 2 * padding + reach + more for side in (height, width))
        ratio = of.shape[0] / (channels * step * step)
        super().__init__((channels, tall, wide), cost=cost + of.cost * ratio, load=of.load / step)
        self._of = of
        self._function = function
        self._reach = reach
        self._step = step
        self._padding = padding

    def rows(self, top: int, bottom: int) -> Tensor:
        step, height = self._step, self._of.shape[1]
        first = max(0, math.ceil((top + self._padding - self._reach + 1) / step))
        last = min(height - 1, (bottom - 1 + self._padding) // step)
        spread = self._function(self._of.rows(first, last + 1))
        start = top - (first * step - self._padding)
        return spread[:, :, start : start + bottom - top]


class Doubled(Plane):
    """Twice as high and wide, by the nearest value, or in between with the corners kept in place."""

    def __init__(self, of: Plane, *, smooth: bool) -> None:
        channels, height, width = of.shape
        super().__init__((channels, 2 * height, 2 * width), cost=of.cost / 4, load=of.load / 2)
        self._of = of
        self._smooth = smooth

    def rows(self, top: int, bottom: int) -> Tensor:
        import torch
        from torch.nn import functional

        if not self._smooth:
            rows = self._of.rows(top // 2, (bottom + 1) // 2)
            rows = functional.interpolate(rows, scale_factor=2)
            return rows[:, :, top % 2 : top % 2 + bottom - top]
        height = self._of.shape[1]
        places = torch.arange(top, bottom, dtype=torch.float32) * ((height - 1) / max(2 * height - 1, 1))
        above = places.floor().long().clamp(max=height - 1)
        below = (above + 1).clamp(max=height - 1)
        first = int(above[0])
        rows = self._of.rows(first, int(below[-1]) + 1)
        size = (rows.shape[2], self.shape[2])
        rows = functional.interpolate(rows, size, mode="bilinear", align_corners=True)
        share = (places - above)[:, None].to(rows.device)
        above, below = (above - first).to(rows.device), (below - first).to(rows.device)
        return rows.index_select(2, above) * (1.0 - share) + rows.index_select(2, below) * share
