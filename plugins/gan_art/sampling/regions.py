"""Masks of regions at the sizes of images and features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

if TYPE_CHECKING:
    from torch import Tensor


def read_region(path: Path, size: tuple[int, int]) -> Tensor:
    """Return a mask as [1, 1, height, width] in 0..1, 1 where it is white. Raises BadInput for a black one."""
    import numpy as np
    import torch
    from PIL import Image

    mask = api.images.open_picture(path).convert("L").resize((size[1], size[0]), Image.Resampling.BOX)
    values = torch.from_numpy(np.asarray(mask, np.float32) / 255)[None, None]
    if not bool(values.any()):
        raise api.BadInput("The mask is empty.", "Paint the region that may change, or clear the mask.")
    return values
