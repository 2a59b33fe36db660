"""Generate a part of an image again and leave the rest unchanged, to the pixel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from studio import api

from .. import images
from ..checkpoints.families import Task
from ..models import loader
from ..models.model import Model
from ..pipeline import estimate, runner, strength
from ..pipeline.estimate import EstimatingTool, Work
from ..pipeline.image_size import SizedModel
from ..pipeline.params import GenerationParams, PromptParams

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""
_OUTPAINTING = "Outpainting"


class MaskedImageParams(api.Params):
    """The image, the mask, and how the two are joined."""

    image: api.ImageInput
    """The image to change."""
    mask: api.MaskInput | None = None
    """The image changes where the mask is white. Not needed for outpainting alone."""
    strength: api.Unit = api.param(1.0, title="Denoising strength")
    """A higher value changes the masked area more. At 100 % nothing of it is kept."""
    feather: int = api.param(8, ge=0, le=256, unit="px", title="Mask blur")
    """Width of the soft transition between the generated area and the rest."""
    area: Literal["part", "whole"] = api.param("part", title="Inpaint area", labels=("Only masked", "Whole image"))
    """With "Only masked", a small area gets all the detail that the model can generate."""
    margin: int = api.param(48, ge=0, le=1024, unit="px", title="Padding", advanced=True)
    """Width of the surroundings of the mask that the model sees with "Only masked"."""
    left: int = api.param(0, ge=0, le=4096, unit="px", advanced=True, group=_OUTPAINTING)
    """Extend the image at its left edge."""
    top: int = api.param(0, ge=0, le=4096, unit="px", advanced=True, group=_OUTPAINTING)
    """Extend the image at its top edge."""
    right: int = api.param(0, ge=0, le=4096, unit="px", advanced=True, group=_OUTPAINTING)
    """Extend the image at its right edge."""
    bottom: int = api.param(0, ge=0, le=4096, unit="px", advanced=True, group=_OUTPAINTING)
    """Extend the image at its bottom edge."""


class Inpaint(EstimatingTool):
    """Generates the masked part of an image, or extends it beyond its edges."""

    id = "diffusion.inpaint"
    title = "Inpaint"
    icon = "mdi6.select-drag"
    pausable = True

    class Params(GenerationParams, MaskedImageParams, PromptParams):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 1, "Loading the model")
        canvas = _prepare_canvas(params)
        if canvas.is_fully_masked:
            yield api.Notice("The mask covers the whole image, so all of it is generated again.")
        model = loader.load(ctx, params.model)
        pipe = model.pipeline_for(Task.INPAINT)
        yield from strength.warn_if_ignored(pipe, params, f"{model.title} always replaces the whole masked area")
        full = (0, 0, *canvas.image.size)
        box = canvas.find_masked_box(params.margin + params.feather) if params.area == "part" else full
        size = _choose_size(model, box)
        extra_args = {
            "image": api.images.fit(canvas.image.crop(box), size),
            "mask_image": api.images.fit(canvas.mask.crop(box), size),
            **strength.build_args(model, pipe, params),
        }
        width, height = canvas.image.size
        region = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
        patch = runner.run_pipeline(ctx, model, Task.INPAINT, params, size=size, extra_args=extra_args, region=region)
        yield api.Image(canvas.paste(patch, box))

    def plan_work(self, model: SizedModel, params: Params) -> Work:
        if params.area == "part":
            return Work((model.size, model.size), strength=params.strength)
        return estimate.plan_from_image(model, params.image, params.strength)


@dataclass(frozen=True)
class _Canvas:
    """An image with its extended edges. `mask` is the area that is generated, `opacity` how much of it is shown."""

    image: Image
    mask: Image
    opacity: Image

    @property
    def is_fully_masked(self) -> bool:
        return self.opacity.getextrema()[0] == 255

    def find_masked_box(self, margin: int) -> Box:
        """Return the box around the mask, `margin` pixels wider on each side within the image."""
        left, top, right, bottom = self.mask.getbbox() or (0, 0, *self.mask.size)
        width, height = self.mask.size
        return max(0, left - margin), max(0, top - margin), min(width, right + margin), min(height, bottom + margin)

    def paste(self, patch: Image, box: Box) -> Image:
        """Return the image with a generated patch scaled and blended into a box."""
        from PIL import Image

        result = self.image.copy()
        scaled = patch.convert("RGB").resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.LANCZOS)
        result.paste(scaled, box[:2], self.opacity.crop(box))
        return result


def _prepare_canvas(params: MaskedImageParams) -> _Canvas:
    from PIL import Image, ImageChops, ImageFilter

    image = images.open_image(params.image)
    edges = (params.left, params.top, params.right, params.bottom)
    if params.mask is not None:
        mask = images.open_mask(params.mask, image.size)
    elif any(edges):
        mask = Image.new("L", image.size, 0)
    else:
        raise api.BadInput("There is no mask.", "Paint a mask over the image, or extend an edge under Outpainting.")
    if mask.getbbox() is None and not any(edges):
        raise api.BadInput("The mask is empty.", "Paint over the area that should change.")
    image = images.extend_canvas(image, edges, mirror=True)
    mask = images.extend_canvas(mask, edges, mirror=False)
    dilated = images.dilate_mask(mask, params.feather).point(lambda value: 255 if value > 127 else 0)
    blurred = mask.filter(ImageFilter.GaussianBlur(params.feather / 2)) if params.feather else mask
    return _Canvas(image, dilated, ImageChops.darker(blurred, dilated))


def _choose_size(model: Model, box: Box) -> tuple[int, int]:
    """Return a size of the box's shape with 1 to 2.25 times as many pixels as the model was made for."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = math.sqrt(width * height) / model.size
    side = model.size * min(max(scale, 1.0), 1.5)
    ratio = math.sqrt(width / height)
    return (
        api.images.round_to_multiple(side * ratio, model.multiple),
        api.images.round_to_multiple(side / ratio, model.multiple),
    )
