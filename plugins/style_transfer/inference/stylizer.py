"""Stylizes an image in one style or a mix of two, at a chosen resolution, and blends the result with the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from studio import api

from ..image_io import image16
from ..image_io.image16 import RasterImage
from ..models.onnx import OnnxStyle
from ..models.style import Style
from . import checkerboard, streaming
from .color_blend import ColorBlend
from .streamed_graph import ReportProgress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WeightedStyle: TypeAlias = tuple[Style | OnnxStyle, float]
"""A style and its weight (0..1) in the mix."""
ROWS = 256
"""Rows blended at once."""
MAX_CACHED_PIXELS = 8_000_000
"""Largest result in pixels that a style caches, so that a change of the blend takes no time."""


@dataclass(frozen=True)
class Options:
    """Settings of a stylization. `max_side` is in px, and 0 keeps the size of the image."""

    max_side: int = 0
    restore_size: bool = False
    """Resize the result to the original size."""
    remove_checkerboard: bool = False
    blend: ColorBlend = field(default_factory=ColorBlend)


def stylize_image(
    ctx: api.Context,
    styles: Sequence[WeightedStyle],
    image: RasterImage,
    options: Options,
    report_progress: ReportProgress,
    *,
    cache_key: str = "",
) -> RasterImage:
    """Stylize an image. The result has its bit depth and alpha channel.

    With a `cache_key` each style caches its last result under it. Raises BadInput where the disk is too full.
    """
    size = api.images.limit_size(image.size, options.max_side)
    original = image.resize(size)
    key = f"{cache_key} {size} {options.remove_checkerboard}" if cache_key else ""
    result: NDArray[np.uint16] | None = None
    for number, (style, weight) in enumerate(styles):
        report = _scale_progress(report_progress, number, len(styles))
        stylized = _stylize_cached(ctx, style, original, key, report, remove_checkerboard=options.remove_checkerboard)
        result = stylized if result is None else _mix(result, stylized, weight)
    assert result is not None
    if options.restore_size:
        result = image16.resize(result, image.size)
        original = image
    return replace(original, rgb=blend_with_original(original.rgb, result, options.blend))


def blend_with_original(rgb: NDArray[Any], stylized: NDArray[np.uint16], blend: ColorBlend) -> NDArray[Any]:
    """Blend [h, w, 3] of uint8 or uint16 with its stylized version. The result has the type of `rgb`."""
    import numpy as np

    result = np.empty_like(rgb)
    max_value = np.float32(np.iinfo(rgb.dtype).max)
    for start in range(0, len(rgb), ROWS):
        rows = slice(start, start + ROWS)
        original, styled = (
            rgb[rows].astype(np.float32) / max_value,
            stylized[rows].astype(np.float32) / np.float32(65535),
        )
        result[rows] = (blend.blend(original, styled) * max_value + np.float32(0.5)).astype(rgb.dtype)
    return result


def _scale_progress(report_progress: ReportProgress, number: int, count: int) -> ReportProgress:
    return lambda fraction: report_progress((number + fraction) / count)


def _stylize_cached(
    ctx: api.Context,
    style: Style | OnnxStyle,
    image: RasterImage,
    key: str,
    report_progress: ReportProgress,
    *,
    remove_checkerboard: bool,
) -> NDArray[np.uint16]:
    if key and style.last_result is not None and style.last_result[0] == key:
        return style.last_result[1]
    result = streaming.stylize(style, image.rgb, ctx.scratch, report_progress)
    if remove_checkerboard:
        result = checkerboard.remove_checkerboard(result)
    width, height = image.size
    style.last_result = (key, result) if key and width * height <= MAX_CACHED_PIXELS else None
    return result


def _mix(first: NDArray[np.uint16], second: NDArray[np.uint16], weight: float) -> NDArray[np.uint16]:
    """Mix two results with the `weight` of the second, row by row."""
    import numpy as np

    result = np.empty_like(first)
    for start in range(0, len(first), ROWS):
        rows = slice(start, start + ROWS)
        values = first[rows] + (second[rows].astype(np.float32) - first[rows]) * np.float32(weight)
        result[rows] = (values + np.float32(0.5)).astype(np.uint16)
    return result
