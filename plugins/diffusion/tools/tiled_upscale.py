"""Enlarge an image and generate the missing detail, tile by tile."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from studio import api

from .. import images
from ..checkpoints.families import Task, accepts
from ..models import loader
from ..models.model import Model
from ..pipeline import estimate, runner, strength, tiling
from ..pipeline.estimate import EstimatingTool, Work
from ..pipeline.image_size import SizedModel
from ..pipeline.params import GenerationParams, PromptParams
from ..pipeline.sub_job import SubJob
from ..pipeline.tiled_noise import TiledNoise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

MAX_PIXELS = 200_000_000
"""Pixels of the largest image that is made."""
_OVERVIEW_SIDE = 1024
"""Pixels along the longer side of the preview."""
_MIN_TILE = 8
"""Minimum side of a tile, in multiples of what the model's sides must be. A smaller one shows the model too little."""


class UpscaleParams(api.Params):
    """The image, and how much larger it becomes."""

    image: api.ImageInput
    """The image to enlarge."""
    scale: float = api.param(2.0, ge=1.0, le=4.0, step=0.5, unit="times")
    """The width and the height are multiplied by this."""
    strength: api.Unit = api.param(0.3, title="Denoising strength")
    """A higher value generates more detail. At 0 the image is only enlarged."""


class TileParams(api.Params):
    """The division of an image that is too large for the model."""

    tile: int | None = api.param(None, ge=16, le=4096, unit="px", title="Tile size", advanced=True)
    """Side of the tiles. Leave it empty for the size that the model was trained for."""
    overlap: int = api.param(64, ge=0, le=1024, unit="px", title="Tile overlap", advanced=True)
    """A larger overlap hides the seams better and takes longer."""


class TiledUpscale(EstimatingTool):
    """Enlarges an image and generates the missing detail."""

    id = "diffusion.upscale"
    title = "Upscale"
    icon = "mdi6.arrow-expand-all"
    pausable = True

    class Params(GenerationParams, TileParams, UpscaleParams, PromptParams):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        from PIL import Image

        yield api.Progress(0, 1, "Loading the model")
        image = api.images.open_picture(params.image)
        size = _scale_size(image.size, params.scale)
        _check_size(size)
        if not params.strength:
            yield api.Image(image.resize(size, Image.Resampling.LANCZOS))
            return
        model = loader.load(ctx, params.model)
        if not accepts(model.pipeline_for(Task.IMAGE_TO_IMAGE), "strength"):
            raise api.BadInput(
                f"{model.family.title} has no denoising strength and cannot add detail to an image.",
                "Choose another model.",
            )
        canvas = _TileRefiner(ctx, model, params, api.images.flatten_alpha(image), size).refine()
        if image.mode == "RGBA":
            alpha = image.getchannel("A").resize(size, Image.Resampling.LANCZOS)
            yield api.Image(_unflatten_alpha(canvas, alpha))
        else:
            yield api.Image(Image.fromarray(canvas))

    def plan_work(self, model: SizedModel, params: Params) -> Work:
        size = _scale_size(estimate.read_size(params.image), params.scale)
        across, down = _plan_tiles(model, params, size)
        count = len(across.starts) * len(down.starts)
        note = estimate.format_dimensions(size) + (f", {count} tiles" if count > 1 else "")
        return Work((across.length, down.length), count, params.strength, "scale", note)


class _TileRefiner:
    """Generates the tiles of an enlarged image and blends them."""

    def __init__(
        self, ctx: api.Context, model: Model, params: TiledUpscale.Params, source: Image, size: tuple[int, int]
    ) -> None:
        import numpy as np
        from PIL import Image

        self._ctx, self._model, self._params, self._source, self._size = ctx, model, params, source, size
        self._across, self._down = _plan_tiles(model, params, size)
        enlarged = np.array(source.resize(size, Image.Resampling.LANCZOS))
        self._blender = tiling.TileBlender(enlarged, self._across, self._down)
        self._noise = TiledNoise((self._across.end, self._down.end), ctx.generator)
        self._overview = Image.fromarray(self._blender.canvas)
        self._overview.thumbnail((_OVERVIEW_SIDE, _OVERVIEW_SIDE))
        self._notices: set[str] = set()
        run_id = json.dumps(runner.identify_run(ctx, model), sort_keys=True)
        self._finished = ctx.checkpoint_dir / f"tiles-{hashlib.sha256(run_id.encode()).hexdigest()[:16]}"

    def refine(self) -> NDArray[np.uint8]:
        """Return the image [h, w, 3]. Raises Paused, with the finished tiles kept."""
        import numpy as np

        columns, rows = range(len(self._across.starts)), range(len(self._down.starts))
        places = [(column, row) for row in rows for column in columns]
        for number, (column, row) in enumerate(places):
            tile = self._load_or_generate(number, len(places), column, row)
            self._blender.add_tile(column, row, np.asarray(tile))
            self._paste(self._overview, self._blender.crop_tile(column, row), column, row)
            self._ctx.emit(api.Progress((number + 1) / len(places), 1, f"{number + 1} of {len(places)} tiles done"))
            self._ctx.emit(api.Preview(self._overview.copy))
        return self._blender.canvas

    def _load_or_generate(self, number: int, count: int, column: int, row: int) -> Image:
        """Return a tile that was finished before a pause, or generate and save it."""
        file = self._finished / f"{number}.png"
        if file.is_file():
            return api.images.open_picture(file)
        sub_job = SubJob(
            self._ctx,
            number,
            count=count,
            name="Tile",
            checkpoint_dir=self._finished / str(number),
            notices=self._notices,
            on_preview=lambda preview: self._emit_preview(preview, column, row),
        )
        tile = self._generate(sub_job, self._across.starts[column], self._down.starts[row])
        with api.atomic_write(file) as temporary:
            tile.save(temporary, compress_level=1)
        shutil.rmtree(sub_job.checkpoint_dir)
        return tile

    def _generate(self, ctx: api.Context, left: int, top: int) -> Image:
        size = (self._across.length, self._down.length)
        pipe = self._model.pipeline_for(Task.IMAGE_TO_IMAGE)
        width, height = self._size
        tile: Image = runner.run_pipeline(
            ctx,
            self._model,
            Task.IMAGE_TO_IMAGE,
            self._params,
            size=size,
            extra_args={"image": self._crop_source(left, top), **strength.build_args(self._model, pipe, self._params)},
            context=lambda pipe: self._noise.use_in(pipe, left, top, size[0]),
            region=(left / width, top / height, (left + size[0]) / width, (top + size[1]) / height),
        )
        return tile.convert("RGB")

    def _crop_source(self, left: int, top: int) -> Image:
        """Return a tile of the enlarged image, mirrored where it extends beyond the image's edges."""
        from PIL import Image

        right = min(left + self._across.length, self._size[0])
        bottom = min(top + self._down.length, self._size[1])
        width, height = self._source.size
        across, down = width / self._size[0], height / self._size[1]
        box = (left * across, top * down, min(right * across, width), min(bottom * down, height))
        inside = self._source.resize((right - left, bottom - top), Image.Resampling.LANCZOS, box=box)
        beyond = (0, 0, left + self._across.length - right, top + self._down.length - bottom)
        return images.extend_canvas(inside, beyond, mirror=True)

    def _emit_preview(self, preview: api.Preview, column: int, row: int) -> None:
        """Show the preview of a tile in its place."""
        content = preview.content
        if isinstance(content, str):
            return

        def render() -> Image:
            overview = self._overview.copy()
            self._paste(overview, content() if callable(content) else content, column, row)
            return overview

        self._ctx.emit(api.Preview(render))

    def _paste(self, overview: Image, tile: api.Picture, column: int, row: int) -> None:
        import numpy as np
        from PIL import Image

        across, down = (small / full for small, full in zip(overview.size, self._size, strict=True))
        left, top = round(self._across.starts[column] * across), round(self._down.starts[row] * down)
        right = round((self._across.starts[column] + self._across.length) * across)
        bottom = round((self._down.starts[row] + self._down.length) * down)
        size = (max(1, right - left), max(1, bottom - top))
        overview.paste(Image.fromarray(np.asarray(tile)).resize(size, Image.Resampling.BILINEAR), (left, top))


def _plan_tiles(model: SizedModel, params: TileParams, size: tuple[int, int]) -> tuple[tiling.TileRow, tiling.TileRow]:
    """Return the tiles across and down an image of `size` (width, height)."""
    multiple = model.multiple
    side = api.images.round_to_multiple(params.tile or model.size, multiple)
    minimum = min(side, _MIN_TILE * multiple)
    width, height = (max(minimum, -(-full // multiple) * multiple) for full in size)
    return (
        tiling.plan_row(width, side, params.overlap, multiple),
        tiling.plan_row(height, side, params.overlap, multiple),
    )


def _scale_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def _check_size(size: tuple[int, int]) -> None:
    """Raise BadInput for more than `MAX_PIXELS`."""
    width, height = size
    if width * height > MAX_PIXELS:
        pixels, limit = (f"{count / 1e6:,.0f} megapixels" for count in (width * height, MAX_PIXELS))
        raise api.BadInput(
            f"{width:,} × {height:,} px would be {pixels}, and the limit is {limit}.",
            "Lower the scale, or enlarge a part of the image.",
        )


def _unflatten_alpha(canvas: NDArray[np.uint8], alpha: Image) -> Image:
    """Return the RGBA image that looks like `canvas` on white. It works on a few rows at a time to save memory."""
    import numpy as np
    from PIL import Image

    opacities = np.asarray(alpha, np.uint8)
    for top in range(0, len(canvas), 256):
        rows = slice(top, top + 256)
        opacity = np.maximum(opacities[rows, :, None], 1) / np.float32(255)
        colours = (canvas[rows] - 255 * (1 - opacity)) / opacity
        canvas[rows] = np.where(opacities[rows, :, None], colours.clip(0, 255) + 0.5, 255)
    image = Image.fromarray(canvas)
    image.putalpha(alpha)
    return image
