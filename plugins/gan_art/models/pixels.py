"""Images of the artist as pixels and as values of a GAN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio import api


def read_pixels(path: Path, size: tuple[int, int], channels: int = 3) -> NDArray[np.uint8]:
    """Read an image, cropped at the centre and scaled to `size` (height, width), uint8 [height, width, channels].

    Without an alpha channel, transparency is composited over white. Raises BadInput for a file that cannot be read or
    has too few pixels.
    """
    from PIL import Image, ImageOps

    image = api.images.open_picture(path)
    api.datasets.refuse_tiny(path, image.size)
    image = image.convert("RGBA") if channels == 4 else api.images.flatten_alpha(image)
    return np.asarray(ImageOps.fit(image, (size[1], size[0]), Image.Resampling.LANCZOS))


def to_tensor_values(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Convert uint8 [n, h, w, c] to float32 [n, c, h, w] in -1..1, colours multiplied by alpha where there is one."""
    values = np.moveaxis(pixels.astype(np.float32) / np.float32(127.5) - np.float32(1), -1, -3)
    if values.shape[-3] == 4:
        values[..., :3, :, :] *= (values[..., 3:, :, :] + 1) / 2
    return np.ascontiguousarray(values)
