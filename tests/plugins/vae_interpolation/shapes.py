"""Pictures with one shape in them."""

import numpy as np
from numpy.typing import NDArray


def disk(x: float, y: float, *, size: tuple[int, int] = (96, 96), radius: float = 0.16) -> NDArray[np.float32]:
    """A bright disk on a dark ground, at a share of the picture across and down, in 256 levels."""
    width, height = size
    across, down = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    inside = np.clip((radius - np.hypot(across - x, down - y)) * 40.0, 0.0, 1.0)[..., None]
    ground, colour = np.array([0.1, 0.15, 0.3]), np.array([0.95, 0.7, 0.2])
    levels = np.round((ground + inside * (colour - ground)) * 255.0)
    return (levels / 255.0).astype(np.float32)
