"""Augmentation of images for a classifier: place, size, ground, sharpness, brightness and noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Generator, Tensor

BLUR_TAPS = 7
"""Length in pixels of the blur kernel."""


def stack_images(images: Sequence[NDArray[np.uint8]], side: int) -> Tensor:
    """Scale images [h, w, 3 | 4] of 8 bits and return them as one tensor [n, 4, side, side] of 8 bits."""
    import numpy as np
    import torch
    from PIL import Image

    scaled = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(pixels)).convert("RGBA").resize((side, side), Image.Resampling.LANCZOS)
        )
        for pixels in images
    ]
    return torch.from_numpy(np.stack(scaled)).permute(0, 3, 1, 2)


def augment(images: Tensor, flips: Tensor, generator: Generator) -> Tensor:
    """Return random views [n, 3, s, s] in -1..1 of images [n, 4, s, s] of 8 bits. `flips` [n] allows mirroring.

    Each is scaled by 0.8 to 1.1, rotated by up to 10°, moved by up to 8 %, composited over white or a colour, blurred
    by up to 1.5 px, made lighter or darker, and given noise.
    """
    import torch
    from torch.nn import functional

    count, _, side, _ = images.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator) * (high - low) + low

    scale, angle = uniform(0.8, 1.1), uniform(-0.175, 0.175)
    mirror = torch.where(flips & (uniform(0, 1) < 0.5), -1.0, 1.0)
    shift_x, shift_y = uniform(-0.16, 0.16), uniform(-0.16, 0.16)
    inverse = torch.stack(
        [
            torch.stack([mirror * angle.cos(), mirror * angle.sin(), shift_x], 1),
            torch.stack([-angle.sin(), angle.cos(), shift_y], 1),
        ],
        1,
    )
    inverse[:, :, :2] /= scale[:, None, None]
    rgba = images.float() / 255
    premultiplied = torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], 1)
    grid = functional.affine_grid(inverse, [count, 4, side, side], align_corners=False)
    moved = functional.grid_sample(premultiplied, grid, align_corners=False)
    ground = torch.where(uniform(0, 1, 1, 1, 1) < 0.6, torch.ones(1), uniform(0, 1, 3, 1, 1))
    composited = moved[:, :3] + (1 - moved[:, 3:]) * ground
    blurred = _blur(composited, torch.where(uniform(0, 1) < 0.5, uniform(0.2, 1.5), torch.tensor(1e-3)))
    bright = blurred * uniform(0.85, 1.15, 1, 1, 1)
    noise = torch.randn(bright.shape, generator=generator) * uniform(0, 8 / 255, 1, 1, 1)
    return (bright + noise).clamp(0, 1) * 2 - 1


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur each of [n, 3, s, s] with a Gaussian of its own width, `sigma` [n] in pixels."""
    import torch
    from torch.nn import functional

    count, channels, side, _ = images.shape
    offsets = torch.arange(BLUR_TAPS) - BLUR_TAPS // 2
    kernel = torch.exp(-(offsets**2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    padded = functional.pad(images, [BLUR_TAPS // 2] * 4, mode="replicate").reshape(
        1, count * channels, side + BLUR_TAPS - 1, -1
    )
    vertical = functional.conv2d(padded, kernel[:, None, :, None], groups=count * channels)
    both = functional.conv2d(vertical, kernel[:, None, None, :], groups=count * channels)
    return both.reshape(count, channels, side, side)
