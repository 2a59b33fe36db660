"""Images of the artist at the size of a GAN."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.gan_model import GanModel


def read_target(path: Path, model: GanModel) -> Tensor:
    """Return an image as [1, channels, h, w] in -1..1, cropped at the centre and scaled to the size of a GAN.

    Colours are multiplied by alpha where the GAN makes transparent images. Raises BadInput for an unreadable image.
    """
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    height, width = model.generator.image_size
    channels = model.generator.channels
    picture = api.images.open_picture(path)
    picture = picture.convert("RGBA") if channels == 4 else api.images.flatten_alpha(picture)
    fitted = np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS))
    values = torch.from_numpy(fitted.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    if channels == 4:
        values = torch.cat([values[:, :3] * (values[:, 3:] + 1) / 2, values[:, 3:]], dim=1)
    return values.contiguous()
