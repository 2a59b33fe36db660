"""A score for double images in a blend of two pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 48
"""Long side in pixels at which edges are compared: ghosts are visible as large shapes, while grain,
hair and brush strokes hide each other, and a model's softness should not count."""


def score_ghosting(blend: Tensor, first: Tensor, second: Tensor) -> float:
    """Return 0 if no edge is doubled, up to 1 if every edge of both pictures shows at half its strength.

    All are [1, 3, h, w] of one size; `first` and `second` are the blended pictures, warped to the pose
    of `blend`.

    The gradients of `blend` are fitted as a times those of `first` plus b times those of `second` by
    least squares. The score is 4 a b (1 - r), within 0..1: both pictures must be visible (4 a b is 1 for
    a plain average, and 0 where only one is visible or the model drew something new), and their edges
    must differ in place (r is 2 ∇first·∇second / (|∇first|² + |∇second|²), 1 where they coincide and
    about 0 for unlike pictures). For a plain average this is twice the fraction of gradient energy that
    halving each edge loses, the loss of sharpness of Subbarao and Tyan (1998). Noise of a decoder is
    explained by neither picture and does not count.
    """
    import torch

    middle, a, b = (_gradients(image) for image in (blend, first, second))
    aa, bb, ab = float(a @ a), float(b @ b), float(a @ b)
    if aa + bb <= 1e-9:
        return 0.0
    ridge = 1e-6 * (aa + bb)
    normal = torch.tensor([[aa + ridge, ab], [ab, bb + ridge]], dtype=torch.float64)
    visibility = torch.linalg.solve(normal, torch.stack([middle @ a, middle @ b])).clamp_min(0.0)
    distance = 1.0 - 2.0 * ab / (aa + bb)
    return min(1.0, max(0.0, 4.0 * float(visibility.prod()) * distance))


def _gradients(image: Tensor) -> Tensor:
    """Return the differences of neighbouring pixels as one vector."""
    import torch
    from torch.nn import functional

    height, width = image.shape[-2:]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(2, round(height * scale)), max(2, round(width * scale)))
    small = functional.interpolate(image.float().cpu(), size, mode="area").double()
    across = small[..., 1:] - small[..., :-1]
    down = small[..., 1:, :] - small[..., :-1, :]
    return torch.cat([across.flatten(), down.flatten()])
