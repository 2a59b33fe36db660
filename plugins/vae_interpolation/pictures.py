"""Pictures of any size and kind, brought to one size."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from studio import api

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture
    from torch import Tensor

Fit: TypeAlias = Literal["crop", "pad"]
STEP = 8
"""Sides are multiples of this: video encoders want even sides, most autoencoders eight."""


def read_all(
    paths: Iterable[Path], size: int, fit: Fit, ground: str, *, square: bool = False
) -> list[NDArray[np.float32]]:
    """The pictures as [height, width, 3] in 0..1, all of one size.

    The first gives the shape, or a square when asked; `size` is the long side in pixels.
    `crop` fills it and cuts what stands over, `pad` shows all with `ground` around it.
    Transparent parts show `ground`.
    """
    opened = [api.open_picture(path) for path in paths]
    width, height = (size, size) if square else _frame(opened[0].size, size)
    return [_fitted(image, width, height, fit, ground) for image in opened]


def to_tensor(picture: NDArray[np.float32]) -> Tensor:
    """[height, width, 3] in 0..1 to [1, 3, height, width] in -1..1."""
    import torch

    return torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous() * 2.0 - 1.0


def to_picture(image: Tensor) -> NDArray[np.uint8]:
    """[1, 3, height, width] in -1..1 to [height, width, 3] in 0..255."""
    import torch

    scaled = ((image[0].float().clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    return scaled.permute(1, 2, 0).contiguous().cpu().numpy()


def _frame(shape: tuple[int, int], size: int) -> tuple[int, int]:
    scale = size / max(shape)
    width, height = (max(STEP, round(side * scale / STEP) * STEP) for side in shape)
    return width, height


def _fitted(image: Picture, width: int, height: int, fit: Fit, ground: str) -> NDArray[np.float32]:
    import numpy as np
    from PIL import Image, ImageOps

    if image.mode == "RGBA":
        flat = Image.new("RGBA", image.size, ground)
        flat.alpha_composite(image)
        image = flat.convert("RGB")
    if fit == "crop":
        image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    else:
        image = ImageOps.pad(image, (width, height), Image.Resampling.LANCZOS, color=ground)
    return np.asarray(image, dtype=np.float32) / np.float32(255.0)
