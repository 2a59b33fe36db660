"""From a picture and words to another picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from studio import api

from .. import images
from ..checkpoints.families import Task, accepts, default_of
from ..models import loader
from ..models.model import Model
from ..modifiers.seamless_tiling import SeamlessParams
from ..pipeline import image_size, runner
from ..pipeline.estimate import EstimatingTool
from ..pipeline.params import GenerationParams, PromptParams

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class Source(api.Params):
    """What is repainted, and how far it may go."""

    image: api.ImageInput
    """The picture to begin with."""
    strength: api.Unit = api.param(0.6)
    """At 0 the picture stays as it is, at 100 % only the words count."""


class Frame(api.Params):
    """A size of one's own."""

    width: int | None = api.param(None, ge=16, le=8192, unit="px", advanced=True)
    """Empty: the picture's own size, or, where the model is not at ease with it, one of the same shape."""
    height: int | None = api.param(None, ge=16, le=8192, unit="px", advanced=True)
    """Empty: what the width and the picture's shape give."""


class ImageToImage(EstimatingTool):
    """Paints a picture anew, led by words."""

    id = "diffusion.repaint"
    title = "Image to image"
    icon = "mdi6.palette"
    pausable = True

    class Params(SeamlessParams, GenerationParams, Frame, Source, PromptParams):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 1, "Loading the model")
        picture = images.open_image(params.image)
        model = loader.load(ctx, params.model)
        pipe = model.pipeline_for(Task.IMAGE_TO_IMAGE)
        yield from strength_in_vain(pipe, params, f"{model.title} changes a picture as the words say")
        size = _size(model, params, picture)
        if size != picture.size:
            yield api.Notice(f"The picture is painted at {size[0]} × {size[1]}.")
        more = {"image": api.images.fit(picture, size), **strength(model, pipe, params)}
        yield api.Image(runner.run_pipeline(ctx, model, Task.IMAGE_TO_IMAGE, params, size=size, more=more))


def strength(model: Model, pipe: Any, params: Any) -> dict[str, Any]:
    """The arguments that say how far to go, with as many steps as are needed to take one at all.

    Families that are told in words what to change have none.
    """
    if not accepts(pipe, "strength"):
        return {}
    name = model.family.steps_name
    steps = params.steps or model.family.steps or default_of(pipe, name) or 1
    share = max(params.strength, 0.01)
    return {"strength": share, name: max(steps, math.ceil(1 / share))}


def strength_in_vain(pipe: Any, params: Any, why: str) -> Iterator[api.Notice]:
    """A notice, where the strength was changed and the pipeline has none."""
    usual = type(params).model_fields["strength"].default
    if params.strength != usual and not accepts(pipe, "strength"):
        yield api.Notice(f"{why}; the strength does not count.")


def _size(model: Model, params: ImageToImage.Params, picture: Picture) -> tuple[int, int]:
    width, height = picture.size
    if not (params.width or params.height):
        return image_size.from_image(model, width, height)
    wanted = (
        params.width or image_size.round_to_multiple((params.height or 0) * width / height, model.multiple),
        params.height or image_size.round_to_multiple((params.width or 0) * height / width, model.multiple),
    )
    image_size.check(model, *wanted)
    return wanted
