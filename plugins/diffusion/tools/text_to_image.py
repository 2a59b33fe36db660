"""Generate an image from a prompt."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..checkpoints.families import Task
from ..models import loader
from ..modifiers.seamless_tiling import SeamlessParams
from ..pipeline import estimate, image_size, runner
from ..pipeline.estimate import EstimatingTool, Work
from ..pipeline.image_size import SizedModel
from ..pipeline.params import GenerationParams, PromptParams, SizeParams


class TextToImage(EstimatingTool):
    """Generates an image from a prompt."""

    id = "diffusion.paint"
    title = "Text to image"
    icon = "mdi6.brush"
    pausable = True

    class Params(SeamlessParams, GenerationParams, SizeParams, PromptParams):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 1, "Loading the model")
        model = loader.load(ctx, params.model)
        size = image_size.from_params(model, params)
        yield api.Image(runner.run_pipeline(ctx, model, Task.TEXT_TO_IMAGE, params, size=size))

    def plan_work(self, model: SizedModel, params: Params) -> Work:
        return estimate.plan_from_size(model, params)
