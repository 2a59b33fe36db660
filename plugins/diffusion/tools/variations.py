"""Generate variations of an image by mixing its noise with a little of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints.families import Task
from ..models import loader
from ..modifiers.seamless_tiling import SeamlessParams
from ..patching import patched_method
from ..pipeline import estimate, image_size, runner
from ..pipeline.estimate import EstimatingTool, Work
from ..pipeline.image_size import SizedModel
from ..pipeline.params import GenerationParams, PromptParams, SizeParams

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Generator, Tensor

PrepareLatents = Callable[..., Any]
"""A pipeline's method that returns the latents to start from, or a tuple that begins with them."""


class VariationParams(api.Params):
    """The image to vary, and how much."""

    origin: int = api.param(0, ge=0, le=2**32 - 1, title="Original seed")
    """The seed of the image to vary. Set the other values as they were for that image."""
    variation: api.Unit = api.param(0.15, title="Variation strength")
    """At 0 the image stays the same. At 100 % it is a different one."""


class Variations(EstimatingTool):
    """Generates an image again with small changes."""

    id = "diffusion.vary"
    title = "Variations"
    icon = "mdi6.shuffle-variant"
    pausable = True

    class Params(SeamlessParams, GenerationParams, SizeParams, VariationParams, PromptParams):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 1, "Loading the model")
        model = loader.load(ctx, params.model)
        if not hasattr(model.pipeline_for(Task.TEXT_TO_IMAGE), "prepare_latents"):
            raise api.BadInput(f"{model.family.title} does not support variations.", "Choose another model.")
        size = image_size.from_params(model, params)

        def vary_noise(pipe: DiffusionPipeline) -> AbstractContextManager[None]:
            return patched_method(
                pipe, "prepare_latents", lambda prepare: _mix_noise(prepare, ctx.generator, params.variation)
            )

        image = runner.run_pipeline(
            ctx,
            model,
            Task.TEXT_TO_IMAGE,
            params,
            size=size,
            generator=lambda: _build_generator(params.origin),
            context=vary_noise,
        )
        yield api.Image(image)

    def plan_work(self, model: SizedModel, params: Params) -> Work:
        return estimate.plan_from_size(model, params)


def slerp(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """Interpolate spherically from `first` at weight 0 to `second` at 1, so that the variance of noise is kept."""
    import torch

    a, b = first.double().flatten(), second.double().flatten()
    angle = torch.arccos((a @ b / (a.norm() * b.norm())).clamp(-1, 1))
    if angle.sin() < 1e-6:
        return torch.lerp(first, second, weight)
    mixed = (((1 - weight) * angle).sin() * first.double() + (weight * angle).sin() * second.double()) / angle.sin()
    return mixed.to(first.dtype)


def _mix_noise(prepare: PrepareLatents, generator: Callable[[], Generator], weight: float) -> PrepareLatents:
    """Wrap a pipeline's `prepare_latents`: it is called once for each seed, and the two noises are mixed."""
    import torch

    def prepare_mixed(*args: object, **kwargs: object) -> object:
        original = prepare(*args, **kwargs)
        other_generator = generator()

        def replace_generator(value: object) -> object:
            return other_generator if isinstance(value, torch.Generator) else value

        other = prepare(
            *map(replace_generator, args), **{name: replace_generator(value) for name, value in kwargs.items()}
        )
        if isinstance(original, tuple):
            return (slerp(original[0], other[0], weight), *original[1:])
        return slerp(original, other, weight)

    return prepare_mixed


def _build_generator(seed: int) -> Generator:
    import torch

    return torch.Generator("cpu").manual_seed(seed)
