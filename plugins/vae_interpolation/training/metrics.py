"""Measures of how faithfully an autoencoder reconstructs pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from studio.api.datasets import ImageSample

from .data import crop_centre

if TYPE_CHECKING:
    from torch import Tensor

EDGE_WEIGHT = 0.25
SQUARE_WEIGHT = 4.0
BATCH = 16


def picture_loss(reconstruction: Tensor, images: Tensor) -> Tensor:
    """Return the absolute, squared and edge differences of [n, 3, h, w] in -1..1 as one mean."""
    difference = reconstruction - images
    edges = difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return difference.abs().mean() + SQUARE_WEIGHT * difference.square().mean() + EDGE_WEIGHT * edges


def psnr(reconstruction: Tensor, images: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each of [n, 3, h, w] in -1..1, in dB, after rounding to 8 bits."""
    reconstruction, images = (((value.clamp(-1, 1) + 1) * 127.5).round() for value in (reconstruction, images))
    error = (reconstruction - images).square().mean(dim=(1, 2, 3)).clamp(min=1e-6)
    return 10 * (255**2 / error).log10()


def psnr_by_folder(
    reconstruct: Callable[[Tensor], Tensor], samples: Sequence[ImageSample], names: Sequence[str], size: int
) -> dict[str, float]:
    """Return the mean PSNR in dB of the pictures of each folder: their central squares at `size` px over white.

    `names` are the names of the folders by `ImageSample.group`. Folders without pictures are left out.
    """
    import numpy as np
    import torch

    means: dict[str, float] = {}
    for group, name in enumerate(names):
        members = [sample for sample in samples if sample.group == group]
        values: list[Tensor] = []
        for start in range(0, len(members), BATCH):
            images = torch.from_numpy(np.stack([crop_centre(one, size) for one in members[start : start + BATCH]]))
            values.append(psnr(reconstruct(images), images))
        if values:
            means[name] = round(float(torch.cat(values).mean()), 2)
    return means
