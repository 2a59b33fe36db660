"""What numbers a network takes and gives for black to white, told by what it makes of a slope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

Values: TypeAlias = Literal["signed", "unit", "bytes"]
"""What a network takes and gives: -1..1, 0..1, or 0..255."""


def told_by(painted: NDArray[Any]) -> Values:
    """From what a network made of a slope from 0 to 255.

    Normalisation makes most networks indifferent to the numbers that go in, not to those that come out.
    """
    import numpy as np

    low, high = np.quantile(painted, (0.02, 0.98))
    if high - low > 8:
        return "bytes"
    return "signed" if low < -0.25 else "unit"
