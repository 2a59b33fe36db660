"""One run of a pipeline: its arguments, the watch over it, and what to do when memory runs out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints.families import Task, accepts, default_of
from ..models import oom_ladder, placement
from ..models.model import Model
from ..modifiers import acceleration, controlnet, ip_adapter, lora, seamless_tiling, textual_inversion, vae_override
from . import prompt_encoding, schedulers, taesd_preview
from .hooks import LoopHooks
from .replay import Replay

if TYPE_CHECKING:
    from torch import Generator

MODIFIERS = (
    lora.apply,
    ip_adapter.apply,
    textual_inversion.apply,
    vae_override.apply,
    seamless_tiling.apply,
    acceleration.apply,
)
"""What is laid over a model for one job. Each takes (ctx, model, pipe, params), yields arguments of the call, and
leaves the model as it was."""


def run_pipeline(
    ctx: api.Context,
    model: Model,
    task: Task,
    params: Any,
    *,
    size: tuple[int, int],
    more: Mapping[str, Any] | None = None,
    generator: Callable[[], Generator] | None = None,
    around: Callable[[Any], AbstractContextManager[Any]] = nullcontext,
    part: controlnet.Region = controlnet.WHOLE_IMAGE,
) -> Any:
    """The picture, a PIL image of `size` (width, height); of a video, a list of its frames.

    `more` are arguments of the task, such as ``image``; `generator` gives another source of
    noise than the job's seed; the loop runs within `around(pipe)`; `part` says of what whole
    the picture is a part, for the guides that show all of it. What was denoised before a pause
    is taken from `ctx.checkpoint_dir`.
    """
    ctx, more = placement.with_model_dtype(ctx, model), more or {}
    piped: AbstractContextManager[tuple[Any, Mapping[str, Any]]] = nullcontext((model.pipeline_for(task), {}))
    if isinstance(params, controlnet.ControlNetParams):
        piped = controlnet.build_controlled_pipeline(
            ctx, model, task, params, size=size, input_image=more.get("image"), region=part
        )
    with piped as (pipe, guided):
        return _run(ctx, model, pipe, params, size, {**guided, **more}, generator or ctx.generator, around)


def _run(
    ctx: api.Context,
    model: Model,
    pipe: Any,
    params: Any,
    size: tuple[int, int],
    more: Mapping[str, Any],
    generator: Callable[[], Generator],
    around: Callable[[Any], AbstractContextManager[Any]],
) -> Any:
    import torch

    _choose_sampler(model, pipe, params.sampler, params.schedule)
    made_by = identify_run(ctx, model)
    tape = Replay.load(ctx.checkpoint_dir, made_by, ctx.device)
    seeded = accepts(pipe, "generator")

    def attempt() -> Any:
        with warnings.catch_warnings(), around(pipe), watch.over(pipe):
            warnings.simplefilter("ignore", DeprecationWarning)  # samplers hand tensors to numpy
            warnings.simplefilter("ignore", FutureWarning)  # what the library will rename
            warnings.filterwarnings("ignore", "In CPU autocast")  # to what a CPU computes in anyway
            torch.manual_seed(ctx.seed)  # some encode a guide with noise from nowhere else
            return pipe(**given, **({"generator": generator()} if seeded else {}))

    with ExitStack() as additions:
        added: dict[str, Any] = {}
        for applied in MODIFIERS:
            added |= additions.enter_context(applied(ctx, model, pipe, params))
        view = taesd_preview.choose_preview(ctx, model, pipe)
        watch = LoopHooks(ctx, tape, view=view, size=size, rest=lambda: tape.save(ctx.checkpoint_dir, made_by))
        given = {**_arguments(ctx, model, pipe, params, size), **added, **more}
        schedulers.check_steps(getattr(pipe, "scheduler", None), given.get(model.family.steps_name))
        result = oom_ladder.run_with_fallbacks(ctx, model, pipe, attempt)
    if model.fallbacks:
        ctx.note("memory", model.fallbacks)
    if any(getattr(result, "nsfw_content_detected", None) or ()):
        ctx.emit(api.Notice(f"The safety filter of {model.title} has blackened the picture.", "warning"))
    return (result.images if hasattr(result, "images") else result.frames)[0]


def identify_run(ctx: api.Context, model: Model) -> dict[str, str]:
    """The kept answers are worth nothing to another model, device or release."""
    import diffusers
    import torch

    return {
        "model": model.key,
        "device": ctx.device,
        "dtype": str(ctx.dtype),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }


def _choose_sampler(model: Model, pipe: Any, sampler: schedulers.Sampler, schedule: schedulers.Schedule) -> None:
    """Always a new one, so that no job meets the state that another left."""
    if hasattr(pipe, "prior_pipe"):
        if (sampler, schedule) != ("model", "model"):
            raise api.BadInput(f"{model.family.title} works with its own samplers.", "Leave the sampler to the model.")
        return
    if accepts(pipe, "original_inference_steps") and sampler not in ("model", "lcm"):
        raise api.BadInput(f"{model.family.title} has a sampler of its own.", "Leave the sampler to the model.")
    pipe.scheduler = schedulers.build_scheduler(model.scheduler, sampler, schedule)


def _arguments(ctx: api.Context, model: Model, pipe: Any, params: Any, size: tuple[int, int]) -> dict[str, Any]:
    family = model.family
    given = dict(prompt_encoding.encode_prompts(ctx, model, pipe, params))
    steps = params.steps or family.steps or default_of(pipe, family.steps_name)
    guidance = params.guidance if params.guidance is not None else family.guidance
    if accepts(pipe, family.steps_name) and steps:
        given[family.steps_name] = steps
    if accepts(pipe, family.guidance_name) and guidance is not None:
        given[family.guidance_name] = guidance
    if accepts(pipe, "guidance_rescale"):
        given["guidance_rescale"] = params.rescale
    if accepts(pipe, "use_resolution_binning"):
        given["use_resolution_binning"] = False  # it would paint another size and scale that
    for name, side in zip(("width", "height"), size, strict=True):
        if accepts(pipe, name):
            given[name] = side
    if accepts(pipe, "max_area"):
        given |= {"max_area": size[0] * size[1], "_auto_resize": False}  # it would paint a million pixels whatever
    return given
