"""Differentiable augmentation of what the discriminator sees (Zhao et al., arXiv:2006.10738), and its adaptation.

Real and generated images pass through the same random changes, and the gradient flows through them to the generator.
The adaptation follows Karras et al. (arXiv:2006.06676): the probability rises while the discriminator scores its
training images more unlike held-out ones than `TARGET`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

TARGET = 0.3
"""Wanted overfitting: (training − held-out) / (training − generated) scores; 1 is memorised."""
IMAGES_TO_FULL = 500_000
"""Number of training images in which the probability could rise from 0 to 1."""
MEASURE_DECAY = 0.9
SHIFT, CUTOUT = 0.125, 0.5
"""Largest shift and side of the cut-out square, as fractions of the sides."""


def augment(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Change the colours, shift, and cut a square out of [n, c, h, w], each with the probability for each image."""
    import torch

    count = len(images)

    def draw(*shape: int) -> Tensor:
        return torch.rand((count, *shape), generator=generator).to(images.device)

    chosen = draw(3) < probability
    amounts = draw(7)
    if probability <= 0:
        return images

    def pick(column: int, changed: Tensor, neutral: float) -> Tensor:
        return torch.where(chosen[:, column], changed, neutral).to(images.dtype)[:, None, None, None]

    colours, alpha = images[:, :3], images[:, 3:]
    colours = colours + pick(0, amounts[:, 0] - 0.5, 0.0)
    mean = colours.mean(dim=1, keepdim=True)
    colours = mean + (colours - mean) * pick(0, amounts[:, 1] * 2, 1.0)
    mean = colours.mean(dim=(1, 2, 3), keepdim=True)
    colours = mean + (colours - mean) * pick(0, amounts[:, 2] + 0.5, 1.0)
    changed = torch.cat([colours, alpha], dim=1) if images.shape[1] > 3 else colours
    changed = _shift(changed, (amounts[:, 3:5] * 2 - 1) * SHIFT * chosen[:, 1:2])
    return _cut_out(changed, amounts[:, 5:7], chosen[:, 2])


def _shift(images: Tensor, fractions: Tensor) -> Tensor:
    """Shift [n, c, h, w] by whole pixels, (down, right) as fractions of the sides; what is uncovered is zero."""
    import torch
    from torch.nn import functional

    height, width = images.shape[2:]
    pad_y, pad_x = int(height * SHIFT) + 1, int(width * SHIFT) + 1
    padded = functional.pad(images, (pad_x, pad_x, pad_y, pad_y))
    tops = (pad_y - (fractions[:, 0] * height).round().long()).tolist()
    lefts = (pad_x - (fractions[:, 1] * width).round().long()).tolist()
    parts = zip(padded, tops, lefts, strict=True)
    return torch.stack([image[:, top : top + height, left : left + width] for image, top, left in parts])


def _cut_out(images: Tensor, centres: Tensor, chosen: Tensor) -> Tensor:
    """Set a rectangle around a centre (fractions of the sides) to zero in the images that are chosen."""
    import torch

    def inside(length: int, centre: Tensor) -> Tensor:
        places = (torch.arange(length, device=images.device) + 0.5) / length
        return (places[None] - centre[:, None]).abs() < CUTOUT / 2

    rows, columns = inside(images.shape[2], centres[:, 0]), inside(images.shape[3], centres[:, 1])
    cut = rows[:, :, None] & columns[:, None, :] & chosen[:, None, None]
    return images * (~cut[:, None]).to(images.dtype)


@cache
def get_adaptive_augmentation() -> type[nn.Module]:
    """Return the class `AdaptiveAugmentation(probability)`, whose state is in buffers and so in the checkpoint."""
    import torch
    from torch import nn

    class AdaptiveAugmentation(nn.Module):
        """The probability of augmentation, and how much the discriminator overfits."""

        probability: Tensor
        overfitting: Tensor

        def __init__(self, probability: float) -> None:
            super().__init__()
            self.register_buffer("probability", torch.tensor(float(probability)))
            self.register_buffer("overfitting", torch.zeros(()))

        @property
        def value(self) -> float:
            """The probability as a number."""
            return float(self.probability)

        def adapt(self, training: Tensor, held_out: Tensor, generated: Tensor, images: int) -> None:
            """Move the probability after so many `images`, from mean scores of three kinds of images."""
            gap = training - generated
            ratio = ((training - held_out) / gap.clamp(min=1e-6)).clamp(-1, 1) if gap > 0 else torch.zeros(())
            self.overfitting.lerp_(ratio.cpu(), 1 - MEASURE_DECAY)
            step = images / IMAGES_TO_FULL
            self.probability.add_(step if self.overfitting > TARGET else -step).clamp_(0, 1)

    return AdaptiveAugmentation
