"""Pictures as a classifier should know them: anywhere, on any ground, sharp or soft, light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Generator, Tensor

TAPS = 7


def stack_images(pixels: Sequence[Any], side: int) -> Tensor:
    """Pictures [h, w, 3 | 4] of 8 bits as one tensor [n, 4, side, side] of 8 bits."""
    import numpy as np
    import torch
    from PIL import Image

    small = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(one)).convert("RGBA").resize((side, side), Image.Resampling.LANCZOS)
        )
        for one in pixels
    ]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)


def augment(pictures: Tensor, flips: Tensor, chance: Generator) -> Tensor:
    """[n, 3, s, s] in -1..1 of pictures [n, 4, s, s] of 8 bits; `flips` [n] says which may be mirrored.

    Each is scaled by 0.8 to 1.1, turned by up to 10°, moved by up to 8 %, laid over white or a colour,
    blurred by up to 1.5 px, made lighter or darker, and given noise.
    """
    import torch
    from torch.nn import functional

    count, _, side, _ = pictures.shape

    def between(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=chance) * (high - low) + low

    scale, turn = between(0.8, 1.1), between(-0.175, 0.175)
    mirror = torch.where(flips & (between(0, 1) < 0.5), -1.0, 1.0)
    across, down = between(-0.16, 0.16), between(-0.16, 0.16)
    inverse = torch.stack(
        [
            torch.stack([mirror * turn.cos(), mirror * turn.sin(), across], 1),
            torch.stack([-turn.sin(), turn.cos(), down], 1),
        ],
        1,
    )
    inverse[:, :, :2] /= scale[:, None, None]
    clear = pictures.float() / 255
    clear = torch.cat([clear[:, :3] * clear[:, 3:], clear[:, 3:]], 1)
    grid = functional.affine_grid(inverse, [count, 4, side, side], align_corners=False)
    moved = functional.grid_sample(clear, grid, align_corners=False)
    ground = torch.where(between(0, 1, 1, 1, 1) < 0.6, torch.ones(1), between(0, 1, 3, 1, 1))
    laid = moved[:, :3] + (1 - moved[:, 3:]) * ground
    soft = _blurred(laid, torch.where(between(0, 1) < 0.5, between(0.2, 1.5), torch.tensor(1e-3)))
    lit = soft * between(0.85, 1.15, 1, 1, 1)
    noise = torch.randn(lit.shape, generator=chance) * between(0, 8 / 255, 1, 1, 1)
    return (lit + noise).clamp(0, 1) * 2 - 1


def _blurred(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Each of [n, 3, s, s] by a Gaussian of its own width in pixels, `sigma` [n]."""
    import torch
    from torch.nn import functional

    count, channels, side, _ = pictures.shape
    places = torch.arange(TAPS) - TAPS // 2
    kernel = torch.exp(-(places**2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    padded = functional.pad(pictures, [TAPS // 2] * 4, mode="replicate").reshape(
        1, count * channels, side + TAPS - 1, -1
    )
    down = functional.conv2d(padded, kernel[:, None, :, None], groups=count * channels)
    both = functional.conv2d(down, kernel[:, None, None, :], groups=count * channels)
    return both.reshape(count, channels, side, side)
