"""Detects the range of values in which a network represents black to white."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

ValueRangeName: TypeAlias = Literal["signed", "unit", "bytes"]
"""Range of a network's input and output: -1..1, 0..1, or 0..255."""


def detect_value_range(output: NDArray[Any]) -> ValueRangeName:
    """Detect the range from a network's output for a gradient from 0 to 255.

    Normalisation makes most networks indifferent to the range of their input, but not to that of their output.
    """
    import numpy as np

    low, high = np.quantile(output, (0.02, 0.98))
    if high - low > 8:
        return "bytes"
    return "signed" if low < -0.25 else "unit"
