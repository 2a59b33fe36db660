"""Matrices of low rank nearest to a change of weights, by singular value decomposition (Eckart and Young 1936)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .error_report import measure_square

if TYPE_CHECKING:
    from torch import Tensor

_SMALL = 512
"""Shorter side of a matrix up to which it is decomposed exactly."""
_OVERSAMPLING = 16
_ITERATIONS = 6


@dataclass(frozen=True)
class Truncation:
    """Tells how many singular values stay: `rank`, or with `kept` the fewest whose norm is that fraction of all."""

    rank: int
    kept: float | None = None

    def choose_rank(self, values: Tensor, square: float) -> int:
        """Return the number of singular values to keep of those of a matrix with this squared Frobenius norm."""
        count = int((values > 0).sum())
        if self.kept is not None:
            sums = values.double().square().cumsum(0)
            count = min(count, int((sums < self.kept**2 * square * (1 - 1e-12)).sum()) + 1)
        return max(1, min(self.rank, count))


@dataclass(frozen=True)
class Factors:
    """A matrix of low rank, `up` [out, rank] · `down` [rank, in]."""

    down: Tensor
    up: Tensor

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    def to(self, dtype: object) -> Factors:
        """Return the factors in another precision."""
        return Factors(self.down.to(dtype), self.up.to(dtype))  # type: ignore[call-overload]

    def measure_loss(self, matrix: Tensor) -> float:
        """Return the squared Frobenius norm of the difference to a matrix."""
        product = self.up.to(matrix) @ self.down.to(matrix)
        return measure_square(matrix - product)


def decompose(matrix: Tensor, truncation: Truncation) -> Factors:
    """Return the nearest matrix of low rank to one of float32.

    A large matrix is decomposed by a randomised method (Halko et al. 2011), which needs far less time for a low rank.
    """
    import torch

    side = min(matrix.shape)
    sampled = truncation.rank + _OVERSAMPLING
    if side <= _SMALL or 3 * sampled >= side:
        up, values, down = torch.linalg.svd(matrix, full_matrices=False)
    else:
        up, values, right = torch.svd_lowrank(matrix, q=sampled, niter=_ITERATIONS)
        down = right.T
    return _truncate(up, values, down, truncation, measure_square(matrix))


def decompose_product(factors: Factors, truncation: Truncation) -> Factors:
    """Return the nearest matrix of lower rank to a product, without computing the product."""
    import torch

    if factors.rank >= min(factors.up.shape[0], factors.down.shape[1]):
        return decompose(factors.up @ factors.down, truncation)
    left, left_core = torch.linalg.qr(factors.up)
    right, right_core = torch.linalg.qr(factors.down.T)
    core = left_core @ right_core.T
    up, values, down = torch.linalg.svd(core)
    return _truncate(left @ up, values, down @ right.T, truncation, measure_square(core))


def _truncate(up: Tensor, values: Tensor, down: Tensor, truncation: Truncation, square: float) -> Factors:
    rank = truncation.choose_rank(values, square)
    roots = values[:rank].sqrt()
    return Factors((roots[:, None] * down[:rank]).contiguous(), (up[:, :rank] * roots).contiguous())
