"""Unfinished pictures and texts as messages, small enough to be sent many times a second."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from studio import api
from studio.core.errors import StudioError
from studio.core.messages import PreviewFrame

MAX_SIDE = 1024
"""Pixels on the long side; larger pictures are scaled down."""


def picture_frame(job: str, picture: api.Picture, label: str = "") -> PreviewFrame:
    """Return a picture as 8-bit RGB or RGBA of at most `MAX_SIDE` pixels a side."""
    image = _shrink(picture)
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    width, height = image.size
    return PreviewFrame(
        job=job, width=width, height=height, channels=len(image.mode), pixels=image.tobytes(), label=label
    )


def text_frame(job: str, text: str, label: str = "") -> PreviewFrame:
    return PreviewFrame(job=job, text=text, label=label)


def _shrink(picture: api.Picture) -> Image.Image:
    if isinstance(picture, Image.Image):
        image = picture
    else:
        image = Image.fromarray(_subsample(_drop_single_channel(np.asarray(picture))))
    width, height = image.size
    factor = MAX_SIDE / max(width, height, 1)
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if image.mode not in ("RGB", "RGBA", "L"):
        image = image.convert("RGB")
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _drop_single_channel(values: NDArray[Any]) -> NDArray[Any]:
    """Return [h, w, 1] as [h, w]. Raises StudioError for any shape that is no picture."""
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)) or 0 in values.shape:
        raise StudioError(f"An image has the shape {values.shape}, and must be [height, width, 1, 3 or 4].")
    return values


def _subsample(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Average four of the values in each square that becomes one pixel: all of them would take 20 times as long."""
    step = max(values.shape[:2]) // MAX_SIDE
    height, width = (side // step * step for side in values.shape[:2]) if step > 1 else (0, 0)
    if not height or not width:
        return _to_uint8(values[:: max(step, 1), :: max(step, 1)])
    whole, half = values[:height, :width], step // 2
    total = np.zeros((height // step, width // step, *values.shape[2:]), np.uint16)
    for row, column in ((0, 0), (0, half), (half, 0), (half, half)):
        total += _to_uint8(whole[row::step, column::step])
    return (total >> 2).astype(np.uint8)


def _to_uint8(values: NDArray[Any]) -> NDArray[np.uint8]:
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
        raise StudioError(f"An image has values of type {values.dtype}, and not uint8, uint16 or floating point.")
    return np.ascontiguousarray(values, dtype=np.uint8)
