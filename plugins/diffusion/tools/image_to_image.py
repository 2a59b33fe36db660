"""Generate an image from another image and a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from studio import api

from .. import images
from ..checkpoints.families import Task
from ..models import loader
from ..models.model import Model
from ..modifiers.seamless_tiling import SeamlessParams
from ..pipeline import estimate, image_size, runner, strength
from ..pipeline.estimate import EstimatingTool, Work
from ..pipeline.image_size import SizedModel
from ..pipeline.params import GenerationParams, PromptParams

if TYPE_CHECKING:
    from PIL.Image import Image


class SourceParams(api.Params):
    """The image to start from, and how much of it may change."""

    image: api.ImageInput
    """The image to start from."""
    strength: api.Unit = api.param(0.6, title="Denoising strength")
    """At 0 the image stays as it is. At 100 % only the prompt counts."""


class OutputSizeParams(api.Params):
    """A size other than the image's."""

    width: int | None = api.param(None, ge=16, le=8192, unit="px", advanced=True)
    """Leave it empty for the image's own width, or a width of the same aspect ratio that suits the model."""
    height: int | None = api.param(None, ge=16, le=8192, unit="px", advanced=True)
    """Leave it empty for the height that follows from the width and the image's aspect ratio."""


class ImageToImage(EstimatingTool):
    """Generates a variant of an image from a prompt."""

    id = "diffusion.repaint"
    title = "Image to image"
    icon = "mdi6.palette"
    pausable = True

    class Params(SeamlessParams, GenerationParams, OutputSizeParams, SourceParams, PromptParams):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 1, "Loading the model")
        image = images.open_image(params.image)
        model = loader.load(ctx, params.model)
        pipe = model.pipeline_for(Task.IMAGE_TO_IMAGE)
        yield from strength.warn_if_ignored(pipe, params, f"{model.title} edits the image by the prompt alone")
        size = _choose_size(model, params, image)
        if size != image.size:
            yield api.Notice(f"The image is generated at {size[0]} × {size[1]}.")
        extra_args = {"image": api.images.fit(image, size), **strength.build_args(model, pipe, params)}
        yield api.Image(runner.run_pipeline(ctx, model, Task.IMAGE_TO_IMAGE, params, size=size, extra_args=extra_args))

    def plan_work(self, model: SizedModel, params: Params) -> Work:
        return estimate.plan_from_image(model, params.image, params.strength, width=params.width, height=params.height)


def _choose_size(model: Model, params: ImageToImage.Params, image: Image) -> tuple[int, int]:
    width, height = image.size
    if not (params.width or params.height):
        return image_size.from_image(model, width, height)
    size = (
        params.width or api.images.round_to_multiple((params.height or 0) * width / height, model.multiple),
        params.height or api.images.round_to_multiple((params.width or 0) * height / width, model.multiple),
    )
    image_size.check(model, *size)
    return size
