"""Detects and removes the checkerboard artefacts that upsampling networks leave (Odena et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

PERIOD = 4
"""Period of the pattern in px, where a network upsamples twice."""
MEAN_PERIODS = 9
"""Periods along the side of the square over which the pattern is averaged; detail differs from period to period."""
MARGIN = 64
"""Rows beyond a band that its pattern depends on."""
ROWS = 512
"""Rows computed at once."""
SPECTRUM_RADIUS = 4
"""Frequencies to each side of a peak that give the level without a pattern."""
MIN_SIDE = 32
"""Smallest side in px for which the energy can be computed."""


def compute_energy(images: Tensor) -> float:
    """Compute the fraction (0..1) of the contrast of [n, 3, h, w] at periods of 2 and 4 px above the level around them.

    Photos of 500 px have about 0.00001, and 0.001 to 0.01 where every second pixel is lighter by 1/40. Returns 0 for
    images under 32 px.
    """
    grey = images.float().mean(1).cpu().numpy()
    height, width = (side - side % PERIOD for side in grey.shape[1:])
    if min(height, width) < MIN_SIDE:
        return 0.0
    grey = grey[:, :height, :width]
    grey = grey - grey.mean((1, 2), keepdims=True)
    window = np.outer(np.hanning(height + 1)[:-1], np.hanning(width + 1)[:-1])
    power = (np.abs(np.fft.fft2(grey * window)) ** 2).mean(0)
    total = float(power.sum())
    if total <= 0:
        return 0.0
    pattern = sum(
        _compute_peak(power, down * height // PERIOD, across * width // PERIOD)
        for down in range(PERIOD)
        for across in range(PERIOD)
        if down or across
    )
    return pattern / total


def remove_checkerboard(rgb: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Remove what repeats every 2 or 4 px from [h, w, 3] of 0..65535; all other detail is preserved."""
    result = np.empty_like(rgb)
    height = len(rgb)
    for top in range(0, height, ROWS):
        first, last = max(0, top - MARGIN), min(height, top + ROWS + MARGIN)
        band = rgb[first:last].astype(np.float32)
        bottom = min(height, top + ROWS)
        smooth = band - estimate_pattern(band)
        result[top:bottom] = np.clip(smooth[top - first : bottom - first] + 0.5, 0, 65535).astype(np.uint16)
    return result


def estimate_pattern(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Estimate what repeats every 4 px around each pixel of [h, w, 3], without its mean."""
    import cv2

    high = rgb - cv2.blur(cv2.blur(rgb, (PERIOD, PERIOD)), (PERIOD, PERIOD))
    pattern = np.zeros_like(rgb)
    for down in range(PERIOD):
        for across in range(PERIOD):
            phase = high[down::PERIOD, across::PERIOD]
            if phase.size:
                mean = cv2.blur(np.ascontiguousarray(phase), (MEAN_PERIODS, MEAN_PERIODS))
                pattern[down::PERIOD, across::PERIOD] = mean
    return pattern - cv2.blur(pattern, (PERIOD, PERIOD))


def _compute_peak(power: NDArray[np.float64], row: int, column: int) -> float:
    """Compute the power at a frequency, spread by the window to its neighbours, above the level around it."""
    rows = np.arange(row - SPECTRUM_RADIUS, row + SPECTRUM_RADIUS + 1) % power.shape[0]
    columns = np.arange(column - SPECTRUM_RADIUS, column + SPECTRUM_RADIUS + 1) % power.shape[1]
    around = power[np.ix_(rows, columns)]
    peak = around[SPECTRUM_RADIUS - 1 : SPECTRUM_RADIUS + 2, SPECTRUM_RADIUS - 1 : SPECTRUM_RADIUS + 2]
    return max(0.0, float(peak.sum() - 9 * np.median(around)))
