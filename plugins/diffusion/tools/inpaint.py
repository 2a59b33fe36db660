"""Part of a picture painted anew, the rest left as it is, to the pixel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from studio import api

from .. import images
from ..checkpoints.families import Task
from ..models import loader
from ..models.model import Model
from ..pipeline import image_size, runner
from ..pipeline.estimate import EstimatingTool
from ..pipeline.params import GenerationParams, PromptParams
from .image_to_image import strength, strength_in_vain

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels."""


class Place(api.Params):
    """Where to paint."""

    image: api.ImageInput
    """The picture to change."""
    mask: api.MaskInput | None = None
    """White where it may change. Not needed to paint beyond the edges."""
    strength: api.Unit = api.param(1.0)
    """How far what is under the mask may go from what is there."""
    feather: int = api.param(8, ge=0, le=256, unit="px")
    """How softly the painted part goes over into the rest."""
    area: Literal["part", "whole"] = api.param("part", labels=("Only around the mask", "The whole picture"))
    """Around the mask alone, small parts get all the detail that the model can paint."""
    margin: int = api.param(48, ge=0, le=1024, unit="px", advanced=True)
    """How much of the surroundings the model sees, when it paints only around the mask."""
    left: int = api.param(0, ge=0, le=4096, unit="px", advanced=True, group="Beyond the edges")
    """Painted on, beyond the left edge."""
    top: int = api.param(0, ge=0, le=4096, unit="px", advanced=True, group="Beyond the edges")
    """Painted on, above."""
    right: int = api.param(0, ge=0, le=4096, unit="px", advanced=True, group="Beyond the edges")
    """Painted on, beyond the right edge."""
    bottom: int = api.param(0, ge=0, le=4096, unit="px", advanced=True, group="Beyond the edges")
    """Painted on, below."""


class Inpaint(EstimatingTool):
    """Paints where the mask is, or beyond the edges, and leaves the rest as it is."""

    id = "diffusion.inpaint"
    title = "Inpaint"
    icon = "mdi6.select-drag"
    pausable = True

    class Params(GenerationParams, Place, PromptParams):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 1, "Loading the model")
        canvas = _canvas(params)
        if canvas.full:
            yield api.Notice("The mask covers the whole picture, so all of it is painted anew.")
        model = loader.load(ctx, params.model)
        pipe = model.pipeline_for(Task.INPAINT)
        yield from strength_in_vain(pipe, params, f"{model.title} paints all under the mask anew")
        box = canvas.box(params.margin + params.feather) if params.area == "part" else (0, 0, *canvas.picture.size)
        size = _size(model, box)
        more = {
            "image": api.images.fit(canvas.picture.crop(box), size),
            "mask_image": api.images.fit(canvas.mask.crop(box), size),
            **strength(model, pipe, params),
        }
        width, height = canvas.picture.size
        part = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
        painted = runner.run_pipeline(ctx, model, Task.INPAINT, params, size=size, more=more, part=part)
        yield api.Image(canvas.with_painted(painted, box))


@dataclass(frozen=True)
class _Canvas:
    """The picture with its frame. `mask` is where is painted, `share` how much of that is seen."""

    picture: Picture
    mask: Picture
    share: Picture

    @property
    def full(self) -> bool:
        return self.share.getextrema()[0] == 255

    def box(self, margin: int) -> Box:
        """Around the mask, `margin` pixels wider where there is room."""
        left, top, right, bottom = self.mask.getbbox() or (0, 0, *self.mask.size)
        width, height = self.mask.size
        return max(0, left - margin), max(0, top - margin), min(width, right + margin), min(height, bottom + margin)

    def with_painted(self, painted: Picture, box: Box) -> Picture:
        from PIL import Image

        whole = self.picture.copy()
        patch = painted.convert("RGB").resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.LANCZOS)
        whole.paste(patch, box[:2], self.share.crop(box))
        return whole


def _canvas(params: Any) -> _Canvas:
    from PIL import Image, ImageChops, ImageFilter

    picture = images.open_image(params.image)
    frame = (params.left, params.top, params.right, params.bottom)
    if params.mask is not None:
        mask = images.open_mask(params.mask, picture.size)
    elif any(frame):
        mask = Image.new("L", picture.size, 0)
    else:
        raise api.BadInput("There is no mask.", "Paint one over the picture, or paint beyond the edges.")
    if mask.getbbox() is None and not any(frame):
        raise api.BadInput("The mask is empty.", "Paint over what should change.")
    picture = images.extend_canvas(picture, frame, mirror=True)
    mask = images.extend_canvas(mask, frame, mirror=False)
    wide = images.dilate_mask(mask, params.feather).point(lambda value: 255 if value > 127 else 0)
    soft = mask.filter(ImageFilter.GaussianBlur(params.feather / 2)) if params.feather else mask
    return _Canvas(picture, wide, ImageChops.darker(soft, wide))


def _size(model: Model, box: Box) -> tuple[int, int]:
    """As many pixels as the model was made for, and no fewer than the part has, up to half as many again."""
    width, height = box[2] - box[0], box[3] - box[1]
    share = math.sqrt(width * height) / model.size
    side = model.size * min(max(share, 1.0), 1.5)
    ratio = math.sqrt(width / height)
    return image_size.round_to_multiple(side * ratio, model.multiple), image_size.round_to_multiple(
        side / ratio, model.multiple
    )
