"""Lazy feature maps: each computes only the rows that are asked for, from the rows of its inputs that they need.

Since each layer gets the true rows beyond a band, bands show no seams.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from .feature_map_store import RowBuffer

if TYPE_CHECKING:
    from torch import Tensor

    RowFunction: TypeAlias = Callable[[Tensor], Tensor]

MIN_ROWS = 8
"""Smallest band, since smaller ones would compute most rows several times for their neighbours."""
PaddingMode: TypeAlias = Literal["reflect", "replicate", "constant"]


class FeatureMap:
    """A feature map of `shape` (channels, height, width)."""

    def __init__(self, shape: tuple[int, int, int], *, cost: float = 0.0, row_bytes: float = 0.0) -> None:
        self.shape = shape
        self.cost = cost
        """Multiplications for one value, including those of its inputs down to what is stored."""
        self.row_bytes = max(row_bytes, 4.0 * shape[0] * shape[2])
        """Bytes of the largest feature map needed for one row."""

    def compute_rows(self, top: int, bottom: int) -> Tensor:
        """Compute the rows from `top` up to `bottom`, [1, channels, bottom - top, width]."""
        raise NotImplementedError

    def split_into_bands(self, band_bytes: int) -> Iterator[tuple[int, int]]:
        """Yield (top, bottom) of bands for which the largest feature map needs at most `band_bytes`."""
        height = self.shape[1]
        count = max(1, math.ceil(height / max(MIN_ROWS, band_bytes / self.row_bytes)))
        for number in range(count):
            top, bottom = height * number // count, height * (number + 1) // count
            if top < bottom:
                yield top, bottom


class InputMap(FeatureMap):
    """The image itself. `read(top, bottom)` returns [1, channels, bottom - top, width]."""

    def __init__(self, shape: tuple[int, int, int], read: Callable[[int, int], Tensor]) -> None:
        super().__init__(shape)
        self._read = read

    def compute_rows(self, top: int, bottom: int) -> Tensor:
        return self._read(top, bottom)


class StoredMap(FeatureMap):
    """A feature map that is computed and stored."""

    def __init__(self, buffer: RowBuffer) -> None:
        super().__init__(buffer.shape)
        self._buffer = buffer

    def compute_rows(self, top: int, bottom: int) -> Tensor:
        return self._buffer.read(top, bottom)


class Pointwise(FeatureMap):
    """A function of each value."""

    def __init__(self, source: FeatureMap, function: RowFunction) -> None:
        super().__init__(source.shape, cost=source.cost, row_bytes=source.row_bytes)
        self._source = source
        self._function = function

    def compute_rows(self, top: int, bottom: int) -> Tensor:
        return self._function(self._source.compute_rows(top, bottom))


class Sum(FeatureMap):
    """The sum of two feature maps of one shape."""

    def __init__(self, first: FeatureMap, second: FeatureMap) -> None:
        row_bytes = max(first.row_bytes, second.row_bytes)
        super().__init__(first.shape, cost=first.cost + second.cost, row_bytes=row_bytes)
        self._terms = (first, second)

    def compute_rows(self, top: int, bottom: int) -> Tensor:
        first, second = self._terms
        return first.compute_rows(top, bottom) + second.compute_rows(top, bottom)


class Concatenation(FeatureMap):
    """The channels of several feature maps."""

    def __init__(self, sources: Sequence[FeatureMap]) -> None:
        _, height, width = sources[0].shape
        shape = (sum(source.shape[0] for source in sources), height, width)
        cost, row_bytes = max(source.cost for source in sources), max(source.row_bytes for source in sources)
        super().__init__(shape, cost=cost, row_bytes=row_bytes)
        self._sources = sources

    def compute_rows(self, top: int, bottom: int) -> Tensor:
        import torch

        return torch.cat([source.compute_rows(top, bottom) for source in self._sources], 1)


class Padding(FeatureMap):
    """A feature map with a border of (left, right, above, below) px."""

    def __init__(self, source: FeatureMap, border: tuple[int, int, int, int], mode: PaddingMode) -> None:
        channels, height, width = source.shape
        left, right, above, below = border
        shape = (channels, height + above + below, width + left + right)
        super().__init__(shape, cost=source.cost, row_bytes=source.row_bytes)
        self._source = source
        self._border = border
        self._mode = mode

    def compute_rows(self, top: int, bottom: int) -> Tensor:
        from torch.nn import functional

        height = self._source.shape[1]
        left, right, above, _ = self._border
        top, bottom = top - above, bottom - above
        inside_top, inside_bottom = max(top, 0), min(bottom, height)
        if self._mode == "constant":
            if inside_top >= inside_bottom:
                inside_top, inside_bottom = 0, 1
            rows = self._source.compute_rows(inside_top, inside_bottom)
            return functional.pad(rows, (left, right, inside_top - top, bottom - inside_bottom))
        source_top, source_bottom = self._find_source_rows(top, bottom, height)
        rows = self._source.compute_rows(source_top, source_bottom)
        missing = (max(0, -top), max(0, bottom - height))
        rows = functional.pad(rows, (left, right, *missing), mode=self._mode)
        start = top - source_top + missing[0]
        return rows[:, :, start : start + bottom - top]

    def _find_source_rows(self, top: int, bottom: int, height: int) -> tuple[int, int]:
        """Find the rows of the source that the given ones show, mirrored or repeated ones included."""
        first, last = max(top, 0), min(bottom, height) - 1
        if self._mode == "reflect":
            first = min(first, 2 * (height - 1) - (bottom - 1)) if bottom > height else first
            last = max(last, -top)
        return max(0, min(first, height - 1)), min(height, max(last, 0) + 1)


class Convolution(FeatureMap):
    """A convolution without padding, of `kernel` rows, with a `stride`."""

    def __init__(
        self, source: FeatureMap, function: RowFunction, channels: int, kernel: int, stride: int, cost: float
    ) -> None:
        _, height, width = source.shape
        shape = (channels, (height - kernel) // stride + 1, (width - kernel) // stride + 1)
        ratio = source.shape[0] * stride * stride / channels
        super().__init__(shape, cost=cost + source.cost * ratio, row_bytes=source.row_bytes * stride)
        self._source = source
        self._function = function
        self._kernel = kernel
        self._stride = stride

    def compute_rows(self, top: int, bottom: int) -> Tensor:
        first, last = top * self._stride, (bottom - 1) * self._stride
        return self._function(self._source.compute_rows(first, last + self._kernel))


class TransposedConvolution(FeatureMap):
    """A transposed convolution.

    `function` takes rows without padding above and below, and returns all rows that they affect; `padding` rows are
    then cut off above the first.
    """

    def __init__(
        self,
        source: FeatureMap,
        function: RowFunction,
        channels: int,
        kernel: int,
        stride: int,
        padding: int,
        output_padding: int,
        cost: float,
    ) -> None:
        _, height, width = source.shape
        out_height, out_width = (
            (side - 1) * stride - 2 * padding + kernel + output_padding for side in (height, width)
        )
        ratio = source.shape[0] / (channels * stride * stride)
        shape = (channels, out_height, out_width)
        super().__init__(shape, cost=cost + source.cost * ratio, row_bytes=source.row_bytes / stride)
        self._source = source
        self._function = function
        self._kernel = kernel
        self._stride = stride
        self._padding = padding

    def compute_rows(self, top: int, bottom: int) -> Tensor:
        stride, height = self._stride, self._source.shape[1]
        first = max(0, math.ceil((top + self._padding - self._kernel + 1) / stride))
        last = min(height - 1, (bottom - 1 + self._padding) // stride)
        rows = self._function(self._source.compute_rows(first, last + 1))
        start = top - (first * stride - self._padding)
        return rows[:, :, start : start + bottom - top]


class Upsampling(FeatureMap):
    """Twice the height and width, by nearest neighbour, or bilinear with aligned corners."""

    def __init__(self, source: FeatureMap, *, bilinear: bool) -> None:
        channels, height, width = source.shape
        super().__init__((channels, 2 * height, 2 * width), cost=source.cost / 4, row_bytes=source.row_bytes / 2)
        self._source = source
        self._bilinear = bilinear

    def compute_rows(self, top: int, bottom: int) -> Tensor:
        import torch
        from torch.nn import functional

        if not self._bilinear:
            rows = self._source.compute_rows(top // 2, (bottom + 1) // 2)
            rows = functional.interpolate(rows, scale_factor=2)
            return rows[:, :, top % 2 : top % 2 + bottom - top]
        height = self._source.shape[1]
        positions = torch.arange(top, bottom, dtype=torch.float32) * ((height - 1) / max(2 * height - 1, 1))
        above = positions.floor().long().clamp(max=height - 1)
        below = (above + 1).clamp(max=height - 1)
        first = int(above[0])
        rows = self._source.compute_rows(first, int(below[-1]) + 1)
        size = (rows.shape[2], self.shape[2])
        rows = functional.interpolate(rows, size, mode="bilinear", align_corners=True)
        weight = (positions - above)[:, None].to(rows.device)
        above, below = (above - first).to(rows.device), (below - first).to(rows.device)
        return rows.index_select(2, above) * (1.0 - weight) + rows.index_select(2, below) * weight
