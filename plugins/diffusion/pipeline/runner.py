"""One run of a pipeline: its arguments, modifiers and hooks, and fallbacks when memory runs out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints.families import Task, accepts, default_of
from ..models import oom_ladder, placement
from ..models.model import Model
from ..modifiers import acceleration, controlnet, ip_adapter, lora, seamless_tiling, textual_inversion, vae_override
from . import output_check, prompt_encoding, schedulers, taesd_preview
from .hooks import LoopHooks
from .params import SamplingParams
from .replay import Replay

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Generator

MODIFIERS = (
    lora.apply,
    ip_adapter.apply,
    textual_inversion.apply,
    vae_override.apply,
    seamless_tiling.apply,
    acceleration.apply,
)
"""Context managers that change a model for one job. Each takes (ctx, model, pipe, params), yields arguments for the
pipeline's call, and leaves the model as it was."""


def run_pipeline(
    ctx: api.Context,
    model: Model,
    task: Task,
    params: SamplingParams,
    *,
    size: tuple[int, int],
    extra_args: Mapping[str, Any] | None = None,
    generator: Callable[[], Generator] | None = None,
    context: Callable[[DiffusionPipeline], AbstractContextManager[None]] = nullcontext,
    region: controlnet.Region = controlnet.WHOLE_IMAGE,
) -> Any:
    """Generate a Pillow image of `size` (width, height), or of a video the list of its frames.

    `extra_args` are arguments of the task, such as ``image``. `generator` makes a source of noise other than the
    job's seed. The pipeline runs within `context(pipe)`. `region` is the part of the whole image that is generated,
    for control images that show the whole. A run that was paused is resumed from `ctx.checkpoint_dir`.
    Raises BadInput, OutOfMemory, Cancelled and Paused.
    """
    ctx, extra_args = placement.with_model_dtype(ctx, model), extra_args or {}
    controlled: AbstractContextManager[tuple[DiffusionPipeline, Mapping[str, Any]]]
    controlled = nullcontext((model.pipeline_for(task), {}))
    if isinstance(params, controlnet.ControlNetParams):
        controlled = controlnet.build_controlled_pipeline(
            ctx, model, task, params, size=size, input_image=extra_args.get("image"), region=region
        )
    with controlled as (pipe, control_args):
        args = {**control_args, **extra_args}
        return _call_pipeline(ctx, model, pipe, params, size, args, generator or ctx.generator, context)


def _call_pipeline(
    ctx: api.Context,
    model: Model,
    pipe: DiffusionPipeline,
    params: SamplingParams,
    size: tuple[int, int],
    extra_args: Mapping[str, Any],
    generator: Callable[[], Generator],
    context: Callable[[DiffusionPipeline], AbstractContextManager[None]],
) -> Any:
    import torch

    _set_scheduler(model, pipe, params.sampler, params.schedule)
    run_id = identify_run(ctx, model)
    replay = Replay.load(ctx.checkpoint_dir, run_id, ctx.device)
    accepts_generator = accepts(pipe, "generator")

    def attempt() -> Any:
        with warnings.catch_warnings(), context(pipe), hooks.attach(pipe), output_check.refuse_nan(pipe, model.title):
            warnings.simplefilter("ignore", DeprecationWarning)  # schedulers pass tensors to numpy
            warnings.simplefilter("ignore", FutureWarning)  # what the library will rename
            warnings.filterwarnings("ignore", "In CPU autocast")  # to what a CPU computes in anyway
            torch.manual_seed(ctx.seed)  # some encode a control image with noise from the global generator
            return pipe(**args, **({"generator": generator()} if accepts_generator else {}))

    with ExitStack() as modifiers:
        modifier_args: dict[str, Any] = {}
        for apply in MODIFIERS:
            modifier_args |= modifiers.enter_context(apply(ctx, model, pipe, params))
        preview = taesd_preview.choose_preview(ctx, model, pipe)
        save_state = partial(replay.save, ctx.checkpoint_dir, run_id)
        hooks = LoopHooks(ctx, replay, preview=preview, size=size, save_state=save_state)
        args = {**_build_args(ctx, model, pipe, params, size), **modifier_args, **extra_args}
        schedulers.check_steps(getattr(pipe, "scheduler", None), args.get(model.family.steps_name))
        output = oom_ladder.run_with_fallbacks(ctx, model, pipe, attempt)
    if model.fallbacks:
        ctx.note("memory", model.fallbacks)
    if any(getattr(output, "nsfw_content_detected", None) or ()):
        ctx.emit(api.Notice(f"The safety filter of {model.title} has blacked out the image.", "warning"))
    return (output.images if hasattr(output, "images") else output.frames)[0]


def identify_run(ctx: api.Context, model: Model) -> dict[str, str]:
    """Return what recorded outputs and finished tiles depend on: the model, the device and the library versions."""
    import diffusers
    import torch

    return {
        "model": model.key,
        "device": ctx.device,
        "dtype": str(ctx.dtype),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }


def _set_scheduler(
    model: Model, pipe: DiffusionPipeline, sampler: schedulers.Sampler, schedule: schedulers.Schedule
) -> None:
    """Give the pipeline a new scheduler, so that no job meets the state that another one left."""
    if hasattr(pipe, "prior_pipe"):
        if (sampler, schedule) != ("model", "model"):
            raise api.BadInput(
                f"{model.family.title} works with its own samplers only.",
                "Set the sampler and the noise schedule to their defaults.",
            )
        return
    if accepts(pipe, "original_inference_steps") and sampler not in ("model", "lcm"):
        raise api.BadInput(
            f"{model.family.title} works with the LCM sampler only.", "Set the sampler to the model's default."
        )
    pipe.scheduler = schedulers.build_scheduler(model.scheduler, sampler, schedule)


def _build_args(
    ctx: api.Context, model: Model, pipe: DiffusionPipeline, params: SamplingParams, size: tuple[int, int]
) -> dict[str, Any]:
    family = model.family
    args = dict(prompt_encoding.encode_prompts(ctx, model, pipe, params))
    steps = params.steps or family.steps or default_of(pipe, family.steps_name)
    guidance = params.guidance if params.guidance is not None else family.guidance
    if accepts(pipe, family.steps_name) and steps:
        args[family.steps_name] = steps
    if accepts(pipe, family.guidance_name) and guidance is not None:
        args[family.guidance_name] = guidance
    if accepts(pipe, "guidance_rescale"):
        args["guidance_rescale"] = params.rescale
    if accepts(pipe, "use_resolution_binning"):
        args["use_resolution_binning"] = False  # it would generate another size and scale that
    for name, side in zip(("width", "height"), size, strict=True):
        if accepts(pipe, name):
            args[name] = side
    if accepts(pipe, "max_area"):
        # Otherwise it would always generate a megapixel.
        args |= {"max_area": size[0] * size[1], "_auto_resize": False}
    return args
