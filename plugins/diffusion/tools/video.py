"""From words, or from a picture, to a video."""

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
from ..modifiers import acceleration
from ..modifiers import motion_adapter as motion
from ..pipeline import image_size, runner
from ..pipeline.params import PromptParams, SamplingParams

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_DECODED_AT_ONCE = 8
"""Frames, where a pipeline lets one choose: more would need more memory and gain little."""


class Course(api.Params):
    """What begins to move, and for how long."""

    image: api.ImageInput | None = None
    """The picture that begins to move. Some models need one, others start from words alone."""
    seconds: float | None = api.param(None, ge=0.1, le=120.0, step=0.5, unit="s")
    """How long it lasts. Empty: as long as the model was made for."""
    frames: int | None = api.param(None, ge=2, le=2000, advanced=True)
    """How many pictures it has, instead of what follows from the seconds."""
    fps: float | None = api.param(None, ge=1.0, le=60.0, unit="frames a second", advanced=True)
    """Empty: what the model was made for."""
    width: int | None = api.param(None, ge=16, le=4096, unit="px", advanced=True)
    """Empty: what the model was made for, in the shape of the picture."""
    height: int | None = api.param(None, ge=16, le=4096, unit="px", advanced=True)
    """Empty: what the model was made for, in the shape of the picture."""


class Video(api.Tool):
    """Makes a video of what you describe, or of a picture."""

    id = "diffusion.animate"
    title = "Video"
    icon = "mdi6.movie-open-outline"
    output = "animation"
    pausable = True

    class Params(acceleration.SpeedParams, SamplingParams, Course, PromptParams):
        model: api.ModelChoice = api.param(model="diffusion")
        """A diffusers folder of a model of video, or a name on the Hugging Face hub."""
        motion: api.ModelChoice | None = api.param(None, model="motion-adapter", title="Motion adapter", advanced=True)
        """Sets a model of Stable Diffusion 1 in motion (AnimateDiff)."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 1, "Loading the model")
        picture = images.open_image(params.image) if params.image else None
        model = motion.add_motion_adapter(ctx, loader.load(ctx, params.model), params.motion)
        task = Task.TEXT_TO_VIDEO if picture is None else Task.IMAGE_TO_VIDEO
        pipe, film = model.pipeline_for(task), model.family.video or VideoSpec()
        if film.fixed_scheduler and (params.sampler, params.schedule) != ("model", "model"):
            raise api.BadInput(f"{model.family.title} works with its own sampler.", "Leave the sampler to the model.")
        fps = params.fps or film.fps
        wanted = params.frames or (params.seconds * fps if params.seconds else film.default_frames)
        frames = film.nearest_frame_count(wanted)
        if abs(frames - wanted) >= 1:
            lasts = f"{frames} frames and lasts {frames / fps:.1f} s"
            yield api.Notice(f"The video has {lasts}, the nearest that {model.title} can make.")
        size = _only(pipe) or _size(model, film, params, picture)
        if (params.width or size[0], params.height or size[1]) != size:
            raise api.BadInput(
                f"{model.title} makes videos of {size[0]} × {size[1]} px alone.", "Leave width and height empty."
            )
        more: dict[str, Any] = {"num_frames": frames, "output_type": "pil"}
        if picture is not None:
            more["image"] = api.images.fit(picture, size)
        if film.fps_argument:
            more[film.fps_argument] = round(fps)
        if accepts(pipe, "decode_chunk_size"):
            more["decode_chunk_size"] = _DECODED_AT_ONCE
        made = runner.run_pipeline(ctx, model, task, params, size=size, more=more)
        yield api.Animation(made, fps=fps)


def _only(pipe: Any) -> tuple[int, int] | None:
    """Width and height where a model has learned its places by heart, and so knows one size alone."""
    config = getattr(getattr(pipe, "transformer", None), "config", {})
    if not config.get("use_learned_positional_embeddings"):
        return None
    factor = scale_factor_of(pipe)
    return config["sample_width"] * factor, config["sample_height"] * factor


def _size(model: Model, film: VideoSpec, params: Video.Params, picture: Picture | None) -> tuple[int, int]:
    """As asked for; else as many pixels as the family was made for, in the shape of the picture."""
    across, down = picture.size if picture is not None else film.size
    ratio, step = across / down, model.multiple
    if params.width and params.height:
        size = (params.width, params.height)
    elif params.width:
        size = (params.width, image_size.round_to_multiple(params.width / ratio, step))
    elif params.height:
        size = (image_size.round_to_multiple(params.height * ratio, step), params.height)
    else:
        side = math.sqrt(film.size[0] * film.size[1])
        root = math.sqrt(ratio)
        size = (image_size.round_to_multiple(side * root, step), image_size.round_to_multiple(side / root, step))
    image_size.check(model, *size)
    return size
