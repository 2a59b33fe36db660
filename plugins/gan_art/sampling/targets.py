"""Images of the artist at the size of a GAN."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..models.pixels import read_pixels, to_tensor_values

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.gan_model import GanModel


def read_target(path: Path, model: GanModel) -> Tensor:
    """Return an image as [1, channels, h, w] in -1..1, cropped at the centre and scaled to the size of a GAN.

    Colours are multiplied by alpha where the GAN makes transparent images. Raises BadInput for an unreadable image.
    """
    import torch

    generator = model.generator
    pixels = read_pixels(path, generator.image_size, 4 if generator.channels == 4 else 3)
    return torch.from_numpy(to_tensor_values(pixels[None]))
