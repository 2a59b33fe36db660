"""Pictures in the making, small enough to be sent many times a second."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from studio.core.errors import StudioError
from studio.core.messages import PreviewFrame

LONGEST = 1024
"""Pixels on the long side; larger previews are scaled down."""


def pixels(job: str, picture: Any, label: str = "") -> PreviewFrame:
    """A picture (see `api.Picture`) as 8-bit RGB or RGBA of at most `LONGEST` pixels a side."""
    image = _small(picture)
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    width, height = image.size
    return PreviewFrame(
        job=job, width=width, height=height, channels=len(image.mode), pixels=image.tobytes(), label=label
    )


def words(job: str, text: str, label: str = "") -> PreviewFrame:
    return PreviewFrame(job=job, text=text, label=label)


def _small(picture: Any) -> Image.Image:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(_sampled(_checked(np.asarray(picture))))
    width, height = image.size
    factor = LONGEST / max(width, height, 1)
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if image.mode not in ("RGB", "RGBA", "L"):
        image = image.convert("RGB")
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _checked(values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)) or 0 in values.shape:
        raise StudioError(f"A picture has the shape {values.shape}, and must be [height, width, 1, 3 or 4].")
    return values


def _sampled(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Four of the values in each square that becomes one: all of them would take 20 times as long."""
    step = max(values.shape[:2]) // LONGEST
    height, width = (side // step * step for side in values.shape[:2]) if step > 1 else (0, 0)
    if not height or not width:
        return _to_8(values[:: max(step, 1), :: max(step, 1)])
    whole, half = values[:height, :width], step // 2
    total = np.zeros((height // step, width // step, *values.shape[2:]), np.uint16)
    for row, column in ((0, 0), (0, half), (half, 0), (half, half)):
        total += _to_8(whole[row::step, column::step])
    return (total >> 2).astype(np.uint8)


def _to_8(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype == np.uint16:
        values = values >> 8
    elif values.dtype == np.bool_:
        values = values * np.uint8(255)
    elif np.issubdtype(values.dtype, np.floating):
        values = values * np.float32(255) + np.float32(0.5)
        np.clip(values, 0, 255, out=values)
        if np.isnan(values.sum()):
            np.nan_to_num(values, copy=False)
    elif values.dtype != np.uint8:
        raise StudioError(f"A picture has values of type {values.dtype}, and not uint8, uint16 or floating point.")
    return np.ascontiguousarray(values, dtype=np.uint8)
