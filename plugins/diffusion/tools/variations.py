"""Pictures near one that has been painted: its noise, turned a little towards another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints.families import Task
from ..models import loader
from ..modifiers.seamless_tiling import SeamlessParams
from ..patching import patched_method
from ..pipeline import image_size, runner
from ..pipeline.estimate import EstimatingTool
from ..pipeline.params import GenerationParams, PromptParams, SizeParams

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Origin(api.Params):
    """Which picture is varied, and how far."""

    origin: int = api.param(0, ge=0, le=2**32 - 1, title="Seed of the picture")
    """The seed of the picture to vary. The other values should be those that it was painted with."""
    variation: api.Unit = api.param(0.15)
    """At 0 it is the same picture, at 100 % another one."""


class Variations(EstimatingTool):
    """Paints a picture again with small changes."""

    id = "diffusion.vary"
    title = "Variations"
    icon = "mdi6.shuffle-variant"
    pausable = True

    class Params(SeamlessParams, GenerationParams, SizeParams, Origin, PromptParams):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 1, "Loading the model")
        model = loader.load(ctx, params.model)
        if not hasattr(model.pipeline_for(Task.TEXT_TO_IMAGE), "prepare_latents"):
            raise api.BadInput(f"{model.family.title} cannot vary a picture.", "Choose another model.")
        size = image_size.from_params(model, params)

        def turned(pipe: Any) -> AbstractContextManager[None]:
            return patched_method(
                pipe, "prepare_latents", lambda prepare: _towards(prepare, ctx.generator, params.variation)
            )

        picture = runner.run_pipeline(
            ctx, model, Task.TEXT_TO_IMAGE, params, size=size, generator=lambda: _seeded(params.origin), around=turned
        )
        yield api.Image(picture)


def slerp(first: Tensor, second: Tensor, share: float) -> Tensor:
    """From `first` at 0 to `second` at 1 along the great arc, so that noise stays as strong as noise is."""
    import torch

    one, two = first.double().flatten(), second.double().flatten()
    angle = torch.arccos((one @ two / (one.norm() * two.norm())).clamp(-1, 1))
    if angle.sin() < 1e-6:
        return torch.lerp(first, second, share)
    mixed = (((1 - share) * angle).sin() * first.double() + (share * angle).sin() * second.double()) / angle.sin()
    return mixed.to(first.dtype)


def _towards(prepare: Callable[..., Any], other: Callable[[], Generator], share: float) -> Callable[..., Any]:
    """A pipeline's own noise, by its own means, once for each of the two seeds."""
    import torch

    def prepared(*args: Any, **kwargs: Any) -> Any:
        own = prepare(*args, **kwargs)
        generator = other()

        def swapped(value: Any) -> Any:
            return generator if isinstance(value, torch.Generator) else value

        far = prepare(*map(swapped, args), **{name: swapped(value) for name, value in kwargs.items()})
        if isinstance(own, tuple):
            return (slerp(own[0], far[0], share), *own[1:])
        return slerp(own, far, share)

    return prepared


def _seeded(seed: int) -> Generator:
    import torch

    return torch.Generator("cpu").manual_seed(seed)
