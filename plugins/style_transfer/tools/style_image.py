"""Pictures, painted in a style."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

from ..image_io import image16
from ..inference import checkerboard_detection, stylizer
from ..models import style as models

if TYPE_CHECKING:
    from ..image_io.image16 import Picture

CHECKERBOARD = 0.002
"""Above this share of all contrast a grid is seen; see `checkerboard.energy`."""
LOOKED_AT = 512
"""Pixels along the side of the middle in which a grid is looked for."""


class Pictures(api.Params):
    """What is painted."""

    image: api.ImageInput
    """The picture to paint, of any size. What is transparent stays so, and 16 bits a channel stay 16."""


class MorePictures(api.Params):
    """What is painted in the same way."""

    images: list[api.ImageInput] = api.param([], max_items=500, title="More pictures")
    """Painted after the first, in the same way."""


class StyleTransfer(api.Tool):
    """Paints pictures in a style: drop a photo on one, or press Generate."""

    id = "style.transfer"
    title = "Style transfer"
    icon = "mdi6.brush-variant"
    live = True

    class Params(MorePictures, stylizer.Painter, Pictures):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        paths = [params.image, *params.images]
        yield api.Progress(0, len(paths), "Opening")
        if not params.style:
            raise models.none_chosen(ctx)
        chosen = stylizer.styles(ctx, params)
        failed = 0
        for number, path in enumerate(paths):
            try:
                picture = image16.opened(path)
                done = stylizer.painted(
                    ctx, chosen, picture, params, _told(ctx, number, len(paths), path.name), name=_named(path)
                )
            except api.BadInput as error:
                if len(paths) == 1:
                    raise
                failed += 1
                yield api.Notice(str(error), "warning")
                continue
            if not (number or params.even or ctx.draft) and _may_grid(chosen) and _has_grid(done):
                yield api.Notice("This style leaves a fine grid. “Remove checkerboard” takes it out.")
            yield api.Image(done.array(), name=path.stem if len(paths) > 1 else "")
        if failed == len(paths):
            raise api.BadInput("None of the pictures could be painted.", "Choose others.")

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:  # noqa: ARG002
        if not params.style:
            return None
        pixels = sum(_pixels(path, params.resolution) for path in (params.image, *params.images))
        second = params.second_style if params.second_style and 0 < params.blend < 1 else ""
        return api.Estimate(work=pixels / 1e6, rate=f"{self.id} {params.style} {second}".strip())


def _told(ctx: api.Context, number: int, count: int, name: str) -> stylizer.Tick:
    return lambda share: ctx.emit(api.Progress(number + share, count, f"Painting {name}"))


def _named(path: Path) -> str:
    """Changes with the file; empty for one that is gone meanwhile, whose painting is not remembered."""
    try:
        about = path.stat()
    except OSError:
        return ""
    return f"{path.absolute()} {about.st_mtime_ns} {about.st_size}"


def _pixels(path: Path, longest: int) -> int:
    from PIL import Image

    with Image.open(path) as image:
        width, height = image16.fitted(image.size, longest)
    return width * height


def _may_grid(chosen: list[stylizer.Share]) -> bool:
    """Whether any of the styles doubles by transposed convolutions, and not in order to draw a pattern."""
    return any(style.kind == "unet" or style.config.get("upsampling") == "transposed" for style, _ in chosen)


def _has_grid(picture: Picture) -> bool:
    import numpy as np
    import torch

    width, height = picture.size
    top, left = max(0, (height - LOOKED_AT) // 2), max(0, (width - LOOKED_AT) // 2)
    middle = picture.rgb[top : top + LOOKED_AT, left : left + LOOKED_AT].astype(np.float32) / picture.top
    return checkerboard_detection.energy(torch.from_numpy(middle).permute(2, 0, 1)[None]) > CHECKERBOARD
