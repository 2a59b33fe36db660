"""The tool that applies a style to images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

from ..image_io import image16
from ..inference import checkerboard, stylizer
from ..models.style import no_style_error
from .params import StyleParams
from .progress import report_item

if TYPE_CHECKING:
    from ..image_io.image16 import RasterImage

MAX_CHECKERBOARD = 0.002
"""Checkerboard energy above which the pattern is visible; see `checkerboard.compute_energy`."""
CHECKED_SIDE = 512
"""Side in px of the central square that is checked for a checkerboard."""


class FirstImage(api.Params):
    """The image to stylize."""

    image: api.ImageInput
    """Image of any size. The alpha channel and 16 bits per channel are kept."""


class MoreImages(api.Params):
    """Further images to stylize."""

    images: list[api.ImageInput] = api.param([], max_items=500, title="More images")
    """Images that are restyled after the first, with the same settings."""


class StyleTransfer(api.Tool):
    """Applies a style to images: drop a photo on a style, or press Generate."""

    id = "style.transfer"
    title = "Style transfer"
    icon = "mdi6.brush-variant"
    live = True

    class Params(MoreImages, StyleParams, FirstImage):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        paths = [params.image, *params.images]
        yield api.Progress(0, len(paths), "Opening")
        if not params.style:
            raise no_style_error(ctx)
        styles = params.load_styles(ctx)
        options = params.to_options(draft=ctx.draft)
        failed = 0
        for index, path in enumerate(paths):
            report_progress = report_item(ctx, index, len(paths), f"Restyling {path.name}")
            try:
                image = image16.open_image(path)
                result = stylizer.stylize_image(ctx, styles, image, options, report_progress, cache_key=_key_of(path))
            except api.BadInput as error:
                if len(paths) == 1:
                    raise
                failed += 1
                yield api.Notice(str(error), "warning")
                continue
            if not (index or params.even or ctx.draft) and _may_have_checkerboard(styles) and _has_checkerboard(result):
                yield api.Notice("This style leaves a checkerboard pattern. “Remove checkerboard” removes it.")
            yield api.Image(result.to_array(), name=path.stem if len(paths) > 1 else "")
        if failed == len(paths):
            raise api.BadInput("None of the images could be restyled.", "Choose others.")

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:  # noqa: ARG002
        if not params.style:
            return None
        pixels = sum(_count_pixels(path, params.resolution) for path in (params.image, *params.images))
        return api.Estimate(work=pixels / 1e6, rate=f"{self.id} {params.mixed_styles}".strip())


def _key_of(path: Path) -> str:
    """Return a key that changes with the file; empty for a file that is gone, whose result is not cached."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{path.absolute()} {status.st_mtime_ns} {status.st_size}"


def _count_pixels(path: Path, max_side: int) -> int:
    with api.images.open_undecoded(path) as image:
        width, height = api.images.limit_size(image.size, max_side)
    return width * height


def _may_have_checkerboard(styles: Sequence[stylizer.WeightedStyle]) -> bool:
    """Check whether a style upsamples by transposed convolutions, and not in order to draw a pattern."""
    return any(style.architecture == "unet" or style.config.get("upsampling") == "transposed" for style, _ in styles)


def _has_checkerboard(image: RasterImage) -> bool:
    import numpy as np
    import torch

    width, height = image.size
    top, left = max(0, (height - CHECKED_SIDE) // 2), max(0, (width - CHECKED_SIDE) // 2)
    center = image.rgb[top : top + CHECKED_SIDE, left : left + CHECKED_SIDE].astype(np.float32) / image.max_value
    return checkerboard.compute_energy(torch.from_numpy(center).permute(2, 0, 1)[None]) > MAX_CHECKERBOARD
