"""Generate a video from a prompt or from an image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from studio import api

from .. import images
from ..checkpoints.families import Task, VideoSpec, accepts
from ..models import loader
from ..models.latents import scale_factor_of
from ..models.model import Model
from ..modifiers import acceleration, motion_adapter
from ..pipeline import image_size, runner
from ..pipeline.params import PromptParams, SamplingParams

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL.Image import Image

_DECODE_CHUNK_SIZE = 8
"""Frames that are decoded at once, where a pipeline leaves the choice. More need more memory and gain little."""


class MotionParams(api.Params):
    """The first frame, the length and the size of a video."""

    image: api.ImageInput | None = None
    """The first frame. Some models need one, others start from the prompt alone."""
    seconds: float | None = api.param(None, ge=0.1, le=120.0, step=0.5, unit="s", title="Duration")
    """Leave it empty for the model's default."""
    frames: int | None = api.param(None, ge=2, le=2000, advanced=True)
    """Number of frames. Replaces the duration."""
    fps: float | None = api.param(None, ge=1.0, le=60.0, unit="fps", title="Frame rate", advanced=True)
    """Leave it empty for the model's default."""
    width: int | None = api.param(None, ge=16, le=4096, unit="px", advanced=True)
    """Leave it empty for the model's default at the aspect ratio of the image."""
    height: int | None = api.param(None, ge=16, le=4096, unit="px", advanced=True)
    """Leave it empty for the model's default at the aspect ratio of the image."""


class Video(api.Tool):
    """Generates a video from a prompt or an image."""

    id = "diffusion.animate"
    title = "Video"
    icon = "mdi6.movie-open-outline"
    output = "animation"
    pausable = True

    class Params(acceleration.SpeedParams, SamplingParams, MotionParams, PromptParams):
        model: api.ModelChoice = api.param(model="diffusion")
        """A diffusers folder of a video model, or the name of one on the Hugging Face hub."""
        motion: api.ModelChoice | None = api.param(None, model="motion-adapter", title="Motion adapter", advanced=True)
        """Makes videos with a Stable Diffusion 1 model (AnimateDiff)."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 1, "Loading the model")
        image = images.open_image(params.image) if params.image else None
        model = motion_adapter.add_motion_adapter(ctx, loader.load(ctx, params.model), params.motion)
        task = Task.TEXT_TO_VIDEO if image is None else Task.IMAGE_TO_VIDEO
        pipe, spec = model.pipeline_for(task), model.family.video or VideoSpec()
        if spec.fixed_scheduler and (params.sampler, params.schedule) != ("model", "model"):
            raise api.BadInput(
                f"{model.family.title} works with its own sampler only.",
                "Set the sampler and the noise schedule to their defaults.",
            )
        fps = params.fps or spec.fps
        requested = params.frames or (params.seconds * fps if params.seconds else spec.default_frames)
        frames = spec.nearest_frame_count(requested)
        if abs(frames - requested) >= 1:
            length = f"{frames} frames ({frames / fps:.1f} s)"
            yield api.Notice(f"The video has {length}, the nearest length that {model.title} supports.")
        size = _choose_size(model, pipe, spec, params, image)
        extra_args: dict[str, Any] = {"num_frames": frames, "output_type": "pil"}
        if image is not None:
            extra_args["image"] = api.images.fit(image, size)
        if spec.fps_argument:
            extra_args[spec.fps_argument] = round(fps)
        if accepts(pipe, "decode_chunk_size"):
            extra_args["decode_chunk_size"] = _DECODE_CHUNK_SIZE
        video = runner.run_pipeline(ctx, model, task, params, size=size, extra_args=extra_args)
        yield api.Animation(video, fps=fps)


def _choose_size(
    model: Model, pipe: DiffusionPipeline, spec: VideoSpec, params: Video.Params, image: Image | None
) -> tuple[int, int]:
    """Return the size that the artist asks for, or the family's number of pixels at the image's aspect ratio.

    Raises BadInput for a size that the model does not support.
    """
    if fixed := _find_fixed_size(pipe):
        if (params.width or fixed[0], params.height or fixed[1]) != fixed:
            raise api.BadInput(
                f"{model.title} generates videos of {fixed[0]} × {fixed[1]} px only.", "Leave width and height empty."
            )
        return fixed
    across, down = image.size if image is not None else spec.size
    ratio, multiple = across / down, model.multiple
    if params.width and params.height:
        size = (params.width, params.height)
    elif params.width:
        size = (params.width, api.images.round_to_multiple(params.width / ratio, multiple))
    elif params.height:
        size = (api.images.round_to_multiple(params.height * ratio, multiple), params.height)
    else:
        side = math.sqrt(spec.size[0] * spec.size[1])
        root = math.sqrt(ratio)
        size = (
            api.images.round_to_multiple(side * root, multiple),
            api.images.round_to_multiple(side / root, multiple),
        )
    image_size.check(model, *size)
    return size


def _find_fixed_size(pipe: DiffusionPipeline) -> tuple[int, int] | None:
    """Return the only size of a model with learned positional embeddings, None for other models."""
    config = getattr(getattr(pipe, "transformer", None), "config", {})
    if not config.get("use_learned_positional_embeddings"):
        return None
    factor = scale_factor_of(pipe)
    return config["sample_width"] * factor, config["sample_height"] * factor
