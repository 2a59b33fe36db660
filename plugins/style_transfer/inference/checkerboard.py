"""Takes the fine grid out of a painting that transposed convolutions leave (Odena et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PERIOD = 4
"""Pixels after which the grid repeats, where a network doubles twice."""
AROUND = 9
"""Periods along the side of the square over which a grid is the same; detail is not."""
MARGIN = 64
ROWS = 512


def evened(rgb: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """[h, w, 3] of 0..65535 without what repeats every 2 or 4 px; all else, the finest detail too, stays."""
    import numpy as np

    made = np.empty_like(rgb)
    height = len(rgb)
    for top in range(0, height, ROWS):
        first, last = max(0, top - MARGIN), min(height, top + ROWS + MARGIN)
        part = rgb[first:last].astype(np.float32)
        bottom = min(height, top + ROWS)
        even = part - grid(part)
        made[top:bottom] = np.clip(even[top - first : bottom - first] + 0.5, 0, 65535).astype(np.uint16)
    return made


def grid(part: NDArray[np.float32]) -> NDArray[np.float32]:
    """What repeats every 4 px around each place of [h, w, 3], without its mean: a narrow filter."""
    import cv2
    import numpy as np

    high = part - cv2.blur(cv2.blur(part, (PERIOD, PERIOD)), (PERIOD, PERIOD))
    found = np.zeros_like(part)
    for down in range(PERIOD):
        for across in range(PERIOD):
            phase = high[down::PERIOD, across::PERIOD]
            if phase.size:
                found[down::PERIOD, across::PERIOD] = cv2.blur(np.ascontiguousarray(phase), (AROUND, AROUND))
    return found - cv2.blur(found, (PERIOD, PERIOD))
