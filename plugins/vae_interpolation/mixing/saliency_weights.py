"""Local blending weights by saliency, so that pictures replace each other region by region.

In each region the picture with more detail keeps its place longer, or takes it sooner. This is the
choice of the most salient source in image fusion (Burt and Kolczynski 1993), made soft and animated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 256
"""Long side in pixels at which detail is measured; the two standard deviations are in these pixels."""
DETAIL_SIGMA, SMOOTHING_SIGMA = 5.0, 9.0
FLAT_ENERGY = 0.3
"""Relative energy that counts as flat, so that noise in skies does not make patches."""
SALIENCY_GAIN = 1.5
SHARPENING = 0.5
"""Additional contrast of the global weights, so that the regions change quickly."""


def compute_saliency(images: Sequence[Tensor]) -> list[Tensor]:
    """Return the logarithm of the local detail of pictures [1, 3, h, w] as maps [1, 1, h', w'].

    It is half-way between absolute detail and detail relative to the picture's own mean, so that a busy
    picture keeps an advantage without replacing a calm one everywhere.
    """
    energies = [_local_energy(image) for image in images]
    means = [float(energy.mean()) + 1e-9 for energy in energies]
    overall = sum(means) / len(means)
    return [
        (energy / math.sqrt(mean * overall) + FLAT_ENERGY).log() for energy, mean in zip(energies, means, strict=True)
    ]


def compute_local_weights(
    weights: Mapping[int, float], saliency: Mapping[int, Tensor], handover: float
) -> dict[int, Tensor]:
    """Return maps of weights that sum to 1 everywhere, for global weights that are not negative and sum to 1.

    `saliency` has the map of each picture, in the pose of the mix. With a `handover` of 0 the weights
    are the same everywhere, with 1 they follow the saliency most. Pictures of weight 0 are left out.
    """
    import torch

    pictures = sorted(picture for picture, weight in weights.items() if weight > 0.0)
    scores = [
        SALIENCY_GAIN * handover * saliency[picture] + (1.0 + SHARPENING * handover) * math.log(weights[picture])
        for picture in pictures
    ]
    local = torch.softmax(torch.cat(scores, 1), 1)
    return {picture: local[:, channel : channel + 1] for channel, picture in enumerate(pictures)}


def _local_energy(image: Tensor) -> Tensor:
    from torch.nn import functional

    height, width = image.shape[-2:]
    scale = SIDE / max(height, width)
    size = (max(2, round(height * scale)), max(2, round(width * scale)))
    small = functional.interpolate(image.float().cpu(), size, mode="bilinear", antialias=True)
    fine = (small - _blur(small, DETAIL_SIGMA)).square().sum(1, keepdim=True)
    return functional.interpolate(_blur(fine, SMOOTHING_SIGMA), scale_factor=0.25, mode="area")


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Apply a Gaussian blur, repeating the border."""
    import torch
    from torch.nn import functional

    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(image.shape[1], 1, 1, -1)
    image = functional.pad(image, (reach, reach, reach, reach), mode="replicate")
    image = functional.conv2d(image, kernel, groups=image.shape[1])
    return functional.conv2d(image, kernel.transpose(2, 3), groups=image.shape[1])
