"""Who may show, where: pictures take turns place by place instead of shining through each other.

At each place the picture with more to show there keeps it longer, or gets it sooner. This is the
choice of the more salient source in image fusion (Burt and Kolczynski 1993), made soft and moved
through time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 256
"""Pixels on the long side at which detail is weighed; the two radii below are in these."""
FINE, WIDE = 5.0, 9.0
FLOOR = 0.3
"""What counts as flat, so that noise in skies does not make patches."""
EAGERNESS = 1.5
HASTE = 0.5


def prominence(images: Sequence[Tensor]) -> list[Tensor]:
    """The logarithm of the local detail of each picture [1, 3, h, w], as maps [1, 1, h', w'].

    Half-way between absolute and relative to the picture's own mean: a busy picture
    neither loses its advantage nor drowns a calm one.
    """
    energies = [_local_energy(image) for image in images]
    means = [float(energy.mean()) + 1e-9 for energy in energies]
    overall = sum(means) / len(means)
    return [(energy / math.sqrt(mean * overall) + FLOOR).log() for energy, mean in zip(energies, means, strict=True)]


def local_shares(shares: Mapping[int, float], prominent: Mapping[int, Tensor], handover: float) -> dict[int, Tensor]:
    """Global shares (positive, of sum 1) to maps of shares that have sum 1 at each place.

    `prominent` holds the map of each picture, in the pose of the mix. With a `handover` of 0
    the shares are the same everywhere.
    """
    import torch

    names = sorted(name for name, share in shares.items() if share > 0.0)
    scores = [
        EAGERNESS * handover * prominent[name] + (1.0 + HASTE * handover) * math.log(shares[name]) for name in names
    ]
    local = torch.softmax(torch.cat(scores, 1), 1)
    return {name: local[:, place : place + 1] for place, name in enumerate(names)}


def _local_energy(image: Tensor) -> Tensor:
    from torch.nn import functional

    height, width = image.shape[-2:]
    scale = SIDE / max(height, width)
    size = (max(2, round(height * scale)), max(2, round(width * scale)))
    small = functional.interpolate(image.float().cpu(), size, mode="bilinear", antialias=True)
    fine = (small - _blurred(small, FINE)).square().sum(1, keepdim=True)
    return functional.interpolate(_blurred(fine, WIDE), scale_factor=0.25, mode="area")


def _blurred(image: Tensor, radius: float) -> Tensor:
    """Gaussian of the standard deviation `radius`, with the border repeated."""
    import torch
    from torch.nn import functional

    reach = math.ceil(3 * radius)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * radius**2))
    kernel = (kernel / kernel.sum()).expand(image.shape[1], 1, 1, -1)
    image = functional.pad(image, (reach, reach, reach, reach), mode="replicate")
    image = functional.conv2d(image, kernel, groups=image.shape[1])
    return functional.conv2d(image, kernel.transpose(2, 3), groups=image.shape[1])
