"""A grid is taken out of a painting, and detail stays."""

from __future__ import annotations

import numpy as np
import torch

from plugins.style_transfer.inference import checkerboard_detection
from plugins.style_transfer.inference.checkerboard import evened
from tests.plugins.style_transfer.conftest import photograph


def energy(rgb: np.ndarray) -> float:
    return checkerboard_detection.energy(torch.from_numpy(rgb.astype(np.float32) / 65535).permute(2, 0, 1)[None])


def test_a_grid_goes_and_detail_stays() -> None:
    rgb = photograph(300, 1100).astype(np.uint16) * 257
    down, across = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    grid = 1500 * ((down + across) % 2) + 1000 * (across % 4 == 0)
    spoilt = np.clip(rgb + grid[..., None].astype(int), 0, 65535).astype(np.uint16)
    even = evened(spoilt)
    assert energy(spoilt) > 20 * max(energy(rgb), 1e-5)
    assert energy(even) < 0.05 * energy(spoilt)
    assert np.abs(evened(rgb).astype(int) - rgb).mean() < 0.15 * np.abs(np.diff(rgb.astype(int), axis=1)).mean()
