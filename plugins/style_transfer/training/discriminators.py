"""Discriminators: networks that tell real images from generated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..models import layers
from ..models.layers import Norm

if TYPE_CHECKING:
    from torch import nn


def build_patch_discriminator(width: int = 64, depth: int = 3, *, norm: Norm = "instance") -> nn.Module:
    """Build a PatchGAN discriminator (Isola et al. 2017) for RGB in -1..1, [n, 3, h, w].

    Returns one logit for each patch, [n, 1, h / 2 ** depth - 2, w / 2 ** depth - 2]. With a `depth` of 3 a patch is
    70 × 70 px. The layers are in `.model`, an `nn.Sequential`.
    """
    from torch import nn

    bias = norm != "batch"
    sequence: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    channels = width
    for number in range(1, depth + 1):
        out_channels = min(2**number, 8) * width
        stride = 2 if number < depth else 1
        sequence += [nn.Conv2d(channels, out_channels, 4, stride=stride, padding=1, bias=bias)]
        sequence += [layers.build_norm(norm, out_channels), nn.LeakyReLU(0.2)]
        channels = out_channels
    sequence += [nn.Conv2d(channels, 1, 4, padding=1)]
    return layers.get_model_wrapper()(nn.Sequential(*sequence))
