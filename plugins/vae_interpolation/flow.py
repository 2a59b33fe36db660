"""Smooth warps that bring one picture's shapes onto another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def warped(image: Tensor, field: Tensor | None) -> Tensor:
    """[1, c, h, w] looked up at each place plus `field` [1, 2, any, any] (x, y in half picture sides)."""
    import torch
    from torch.nn import functional

    if field is None:
        return image
    height, width = image.shape[-2:]
    field = functional.interpolate(field.to(image.device), (height, width), mode="bilinear", align_corners=False)
    still = torch.eye(2, 3, device=image.device)[None]
    grid = functional.affine_grid(still, [1, 1, height, width], align_corners=False)
    return functional.grid_sample(
        image, grid + field.permute(0, 2, 3, 1), mode="bicubic", padding_mode="border", align_corners=False
    )
