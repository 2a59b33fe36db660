"""The image that shows a GAN in lists of models."""

from __future__ import annotations

from pathlib import Path

from studio import api

from .gan_model import open_gan
from .image_features import composite

FILE = "preview.webp"
ROWS = COLUMNS = 2
TRUNCATION = 0.7


def save_thumbnail(folder: Path, seed: int) -> None:
    """Save four images of the GAN in a folder as its thumbnail."""
    import torch
    from PIL import Image

    model = open_gan(folder)
    count = ROWS * COLUMNS
    latents = torch.randn(count, model.generator.latent_size, generator=torch.Generator().manual_seed(seed))
    classes = [number % model.generator.classes for number in range(count)] if model.generator.classes else []
    images = composite(model.synthesize(model.map_latents(latents, classes, truncation=TRUNCATION)))
    rows = [torch.cat([*images[start : start + COLUMNS]], dim=2) for start in range(0, count, COLUMNS)]
    Image.fromarray(api.images.to_uint8(torch.cat(rows, dim=1))).save(folder / FILE, quality=90)
