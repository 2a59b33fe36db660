"""The decoder of FastGAN's discriminator, which makes it learn features of whole images (arXiv:2101.04775)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 8
"""Side of the features that are decoded, in places."""
STEPS = 3
"""Number of times that the size is doubled."""


class ImageDecoder(nn.Module):
    """Decodes features of 8 × 8 places to images of 64 × 64 px or less."""

    def __init__(self, width: int, channels: int, size: int) -> None:
        """Create a decoder of features with `width` channels, for training images of `size` px."""
        super().__init__()
        layers: list[nn.Module] = []
        side, inputs = SIDE, width
        while side < min(size, SIDE * 2**STEPS):
            outputs = max(8, inputs // 2)
            layers += [
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv2d(inputs, 2 * outputs, 3, padding=1, bias=False),
                nn.GLU(1),
            ]
            side, inputs = 2 * side, outputs
        self.layers = nn.Sequential(*layers, nn.Conv2d(inputs, channels, 3, padding=1), nn.Tanh())

    def measure_error(self, levels: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the mean absolute error of the images decoded from the discriminator's features."""
        features = next(level for level in levels if level.shape[2] <= SIDE)
        decoded: Tensor = self.layers(features).float()
        targets = functional.interpolate(images.float(), decoded.shape[2:], mode="area")
        return torch.nn.functional.l1_loss(decoded, targets)
