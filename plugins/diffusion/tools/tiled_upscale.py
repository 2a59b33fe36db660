"""A picture made larger, and what is then missing painted in, tile by tile."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from studio import api

from .. import images
from ..checkpoints.families import Task, accepts
from ..models import loader
from ..models.model import Model
from ..pipeline import image_size, runner, tiling
from ..pipeline.estimate import EstimatingTool
from ..pipeline.params import GenerationParams, PromptParams
from ..pipeline.sub_job import SubJob
from ..pipeline.tiled_noise import TiledNoise
from .image_to_image import strength

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

MOST = 200_000_000
"""Pixels of the largest picture that is made."""
_OVERVIEW = 1024
"""Pixels along the longer side of what is shown while it comes about."""
_SMALLEST = 8
"""A tile is at least this many times what the model's sides must be multiples of; less is too little to see."""


class Enlargement(api.Params):
    """Which picture, and how much larger."""

    image: api.ImageInput
    """The picture to enlarge."""
    scale: float = api.param(2.0, ge=1.0, le=4.0, step=0.5, unit="times")
    """How many times as wide and as high it becomes."""
    strength: api.Unit = api.param(0.3)
    """How much detail may be painted in. At 0 the picture is only enlarged."""


class Tiling(api.Params):
    """How a picture that is too large for the model is taken apart."""

    tile: int | None = api.param(None, ge=16, le=4096, unit="px", advanced=True)
    """Side of the pieces that are painted one by one. Empty: what the model was made for."""
    overlap: int = api.param(64, ge=0, le=1024, unit="px", advanced=True)
    """How far the pieces lie over each other. More hides where they meet, and takes longer."""


class TiledUpscale(EstimatingTool):
    """Makes a picture larger and paints in the detail that it lacks."""

    id = "diffusion.upscale"
    title = "Upscale"
    icon = "mdi6.arrow-expand-all"
    pausable = True

    class Params(GenerationParams, Tiling, Enlargement, PromptParams):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        from PIL import Image

        yield api.Progress(0, 1, "Loading the model")
        picture = api.images.open_picture(params.image)
        size = _enlarged(picture.size, params.scale)
        if not params.strength:
            yield api.Image(picture.resize(size, Image.Resampling.LANCZOS))
            return
        model = loader.load(ctx, params.model)
        if not accepts(model.pipeline_for(Task.IMAGE_TO_IMAGE), "strength"):
            raise api.BadInput(
                f"{model.family.title} paints pictures anew and cannot refine one.", "Choose another model."
            )
        refined = _Refinement(ctx, model, params, api.images.flatten_alpha(picture), size).canvas()
        if picture.mode == "RGBA":
            alpha = picture.getchannel("A").resize(size, Image.Resampling.LANCZOS)
            yield api.Image(_off_white(refined, alpha))
        else:
            yield api.Image(Image.fromarray(refined))


class _Refinement:
    def __init__(
        self, ctx: api.Context, model: Model, params: TiledUpscale.Params, ground: Picture, size: tuple[int, int]
    ):
        import numpy as np
        from PIL import Image

        step = model.multiple
        side = image_size.round_to_multiple(params.tile or model.size, step)
        least = min(side, _SMALLEST * step)
        self._ctx, self._model, self._params, self._ground, self._size = ctx, model, params, ground, size
        self._across, self._down = (
            tiling.plan_row(max(least, -(-full // step) * step), side, params.overlap, step) for full in size
        )
        self._mosaic = tiling.TileBlender(
            np.array(ground.resize(size, Image.Resampling.LANCZOS)), self._across, self._down
        )
        self._field = TiledNoise((self._across.end, self._down.end), ctx.generator)
        self._overview = Image.fromarray(self._mosaic.canvas)
        self._overview.thumbnail((_OVERVIEW, _OVERVIEW))
        self._said: set[str] = set()
        about = json.dumps(runner.identify_run(ctx, model), sort_keys=True)
        self._kept = ctx.checkpoint_dir / f"tiles-{hashlib.sha256(about.encode()).hexdigest()[:16]}"

    def canvas(self) -> NDArray[np.uint8]:
        """[h, w, 3]. Raises Paused, with what is done kept."""
        import numpy as np

        places = [
            (column, line) for line in range(len(self._down.starts)) for column in range(len(self._across.starts))
        ]
        for number, (column, line) in enumerate(places):
            self._mosaic.lay(column, line, np.asarray(self._tile(number, len(places), column, line)))
            self._paste(self._overview, self._mosaic.around(column, line), column, line)
            self._ctx.emit(api.Progress((number + 1) / len(places), 1, f"{number + 1} of {len(places)} tiles are done"))
            self._ctx.emit(api.Preview(self._overview.copy()))
        return self._mosaic.canvas

    def _tile(self, number: int, of: int, column: int, line: int) -> Picture:
        """From what was kept, or painted and kept."""
        file = self._kept / f"{number}.png"
        if file.is_file():
            return api.images.open_picture(file)
        part = SubJob(
            self._ctx,
            number,
            of=of,
            name="Tile",
            checkpoint_dir=self._kept / str(number),
            said=self._said,
            show=lambda content: self._show(content, column, line),
        )
        tile = self._painted(part, self._across.starts[column], self._down.starts[line])
        with api.atomic_write(file) as unfinished:
            tile.save(unfinished, compress_level=1)
        shutil.rmtree(part.checkpoint_dir)
        return tile

    def _painted(self, part: Any, left: int, top: int) -> Picture:
        size = (self._across.length, self._down.length)
        more = {
            "image": self._source(left, top),
            **strength(self._model, self._model.pipeline_for(Task.IMAGE_TO_IMAGE), self._params),
        }
        width, height = self._size
        painted: Picture = runner.run_pipeline(
            part,
            self._model,
            Task.IMAGE_TO_IMAGE,
            self._params,
            size=size,
            more=more,
            around=lambda pipe: self._field.under(pipe, left, top, size[0]),
            part=(left / width, top / height, (left + size[0]) / width, (top + size[1]) / height),
        )
        return painted.convert("RGB")

    def _source(self, left: int, top: int) -> Picture:
        """A tile of the enlarged picture, which goes on mirrored beyond its edges."""
        from PIL import Image

        right = min(left + self._across.length, self._size[0])
        bottom = min(top + self._down.length, self._size[1])
        width, height = self._ground.size
        across, down = width / self._size[0], height / self._size[1]
        box = (left * across, top * down, min(right * across, width), min(bottom * down, height))
        inside = self._ground.resize((right - left, bottom - top), Image.Resampling.LANCZOS, box=box)
        beyond = (0, 0, left + self._across.length - right, top + self._down.length - bottom)
        return images.extend_canvas(inside, beyond, mirror=True)

    def _show(self, content: Any, column: int, line: int) -> None:
        shown = self._overview.copy()
        self._paste(shown, content, column, line)
        self._ctx.emit(api.Preview(shown))

    def _paste(self, overview: Picture, tile: NDArray[np.uint8], column: int, line: int) -> None:
        from PIL import Image

        across, down = (small / full for small, full in zip(overview.size, self._size, strict=True))
        left, top = round(self._across.starts[column] * across), round(self._down.starts[line] * down)
        right = round((self._across.starts[column] + self._across.length) * across)
        bottom = round((self._down.starts[line] + self._down.length) * down)
        small = Image.fromarray(tile).resize((max(1, right - left), max(1, bottom - top)), Image.Resampling.BILINEAR)
        overview.paste(small, (left, top))


def _enlarged(size: tuple[int, int], scale: float) -> tuple[int, int]:
    width, height = (max(1, round(side * scale)) for side in size)
    if width * height > MOST:
        found, most = (f"{pixels / 1e6:,.0f} megapixels" for pixels in (width * height, MOST))
        raise api.BadInput(
            f"{width:,} × {height:,} would be {found}, and {most} are the most.",
            "Enlarge it less, or a part of it.",
        )
    return width, height


def _off_white(canvas: NDArray[np.uint8], alpha: Picture) -> Picture:
    """The colours that look like `canvas` where they lie on white. A few rows at a time, since pictures are large."""
    import numpy as np
    from PIL import Image

    share = np.asarray(alpha, np.uint8)
    for top in range(0, len(canvas), 256):
        rows = slice(top, top + 256)
        opacity = np.maximum(share[rows, :, None], 1) / np.float32(255)
        colours = (canvas[rows] - 255 * (1 - opacity)) / opacity
        canvas[rows] = np.where(share[rows, :, None], colours.clip(0, 255) + 0.5, 255)
    picture = Image.fromarray(canvas)
    picture.putalpha(alpha)
    return picture
