"""A checkerboard is detected and removed, and detail is preserved."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from plugins.style_transfer.inference import checkerboard
from tests.plugins.style_transfer.conftest import make_photo


def compute_energy(rgb: NDArray[np.uint16]) -> float:
    return checkerboard.compute_energy(torch.from_numpy(rgb.astype(np.float32) / 65535).permute(2, 0, 1)[None])


def test_a_checkerboard_is_removed_and_detail_is_preserved() -> None:
    rgb = make_photo(300, 1100).astype(np.uint16) * 257
    down, across = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    grid = 1500 * ((down + across) % 2) + 1000 * (across % 4 == 0)
    with_grid = np.clip(rgb + grid[..., None].astype(int), 0, 65535).astype(np.uint16)
    cleaned = checkerboard.remove_checkerboard(with_grid)
    assert compute_energy(with_grid) > 20 * max(compute_energy(rgb), 1e-5)
    assert compute_energy(cleaned) < 0.05 * compute_energy(with_grid)
    assert (
        np.abs(checkerboard.remove_checkerboard(rgb).astype(int) - rgb).mean()
        < 0.15 * np.abs(np.diff(rgb.astype(int), axis=1)).mean()
    )
