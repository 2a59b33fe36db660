"""How much of a double exposure a picture between two others is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 48
"""Edges are compared at this many pixels on the long side: ghosts are seen by their large shapes,
while grain, hair and brush strokes hide each other, and a model's softness does not count."""


def ghosting(between: Tensor, first: Tensor, second: Tensor) -> float:
    """0 where no edge is seen double, 1 where each edge of both ends is there at half its strength.

    All are [1, 3, h, w] of one size; `first` and `second` are the ends in the pose of `between`.

    The gradients of `between` are explained as a times those of `first` plus b times those of
    `second` by least squares. The score is 4 a b (1 - r), within 0..1: both ends must shine through
    (4 a b is 1 for a plain average, 0 where only one is seen or where the model drew something
    new), and their edges must lie apart (r is 2 ∇first·∇second / (|∇first|² + |∇second|²), 1 where
    they coincide and about 0 for unlike pictures). For the plain average that is the share of
    gradient energy that is lost by halving each edge, doubled: the measure of lost sharpness of
    Subbarao and Tyan (1998). Noise and inventions of a decoder, explained by neither end, do not
    count.
    """
    import torch

    middle, a, b = (_gradients(image) for image in (between, first, second))
    aa, bb, ab = float(a @ a), float(b @ b), float(a @ b)
    if aa + bb <= 1e-9:
        return 0.0
    ridge = 1e-6 * (aa + bb)
    normal = torch.tensor([[aa + ridge, ab], [ab, bb + ridge]], dtype=torch.float64)
    through = torch.linalg.solve(normal, torch.stack([middle @ a, middle @ b])).clamp_min(0.0)
    apart = 1.0 - 2.0 * ab / (aa + bb)
    return min(1.0, max(0.0, 4.0 * float(through.prod()) * apart))


def _gradients(image: Tensor) -> Tensor:
    """Differences of neighbouring pixels, as one vector."""
    import torch
    from torch.nn import functional

    height, width = image.shape[-2:]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(2, round(height * scale)), max(2, round(width * scale)))
    small = functional.interpolate(image.float().cpu(), size, mode="area").double()
    across = small[..., 1:] - small[..., :-1]
    down = small[..., 1:, :] - small[..., :-1, :]
    return torch.cat([across.flatten(), down.flatten()])
