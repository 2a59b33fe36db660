"""Families of diffusion models, and their differences. All else is read off the pipelines themselves."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from studio import api

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

DENOISERS = ("unet", "transformer", "prior", "decoder", "transformer_2", "prior_prior")
"""Names of the components that denoise, in pipelines and in folders. The first one there tells the size of a model."""


class Task(Enum):
    """Kind of input and output of a pipeline; the value names what it starts from in a sentence."""

    TEXT_TO_IMAGE = "a prompt"
    IMAGE_TO_IMAGE = "an image"
    INPAINT = "an image and a mask"
    TEXT_TO_VIDEO = "a prompt to make a video"
    IMAGE_TO_VIDEO = "an image to make a video"


@dataclass(frozen=True)
class VideoSpec:
    """Properties of a family of video models.

    `text_pipeline` and `image_pipeline` are the names of the diffusers classes that start from a prompt and from an
    image; empty where the family has none.
    """

    text_pipeline: str = ""
    image_pipeline: str = ""
    size: tuple[int, int] = (832, 480)
    """Width and height in pixels that the family was trained for; any other with as many pixels works."""
    default_frames: int = 81
    """Number of frames of a video when the artist leaves it open."""
    frame_group: int = 4
    """Frames that one latent frame stands for; only the first frame has one of its own."""
    max_frames: int | None = None
    """Longest video, in frames; None where there is no limit."""
    fps: float = 16.0
    fps_argument: str = ""
    """Argument of the pipeline that takes the frame rate; empty where it has none."""
    frames_first: bool = False
    """True for latents [n, frames, channels, h, w], False for [n, channels, frames, h, w]."""
    fixed_scheduler: bool = False
    """True where the model works with no other sampler than its own."""

    def nearest_frame_count(self, frames: float) -> int:
        """Return the possible number of frames that is nearest to `frames`: at least the first frame and one group."""
        max_groups = ((self.max_frames or 10**6) - 1) // self.frame_group
        return min(max(1, round((frames - 1) / self.frame_group)), max_groups) * self.frame_group + 1


@dataclass(frozen=True)
class Family:
    """A family of models, by its name in diffusers' auto classes.

    The sides of an image must be multiples of `multiple` latent pixels, and have at least `min_side` pixels; the family
    was trained on images of `native_size` pixels a side. `steps` and `guidance` are the defaults, None where those of
    the pipeline are good, and `steps_name` and `guidance_name` the arguments that take them.
    """

    name: str
    title: str
    multiple: int = 1
    steps: int | None = None
    guidance: float | None = None
    steps_name: str = "num_inference_steps"
    guidance_name: str = "guidance_scale"
    native_size: int = 1024
    min_side: int = 16
    needs_inpainting_model: bool = False
    """True where only models that were trained for inpainting can inpaint."""
    video: VideoSpec | None = None
    """Properties of a family that makes videos, and no images."""
    tested: bool = False
    """True where a test runs every tool with a real, tiny model of the family."""

    def supports(self, task: Task) -> bool:
        return self.name in _pipeline_classes(task)

    def controlnet_pipelines(self, task: Task) -> tuple[type[DiffusionPipeline], ...]:
        """Return the pipeline classes that do a task with ControlNets, one for each class of ControlNets."""
        return tuple(
            pipeline
            for name, pipeline in _pipeline_classes(task).items()
            if name.startswith(f"{self.name}-controlnet")
            and not name.endswith("-pag")
            and _has_inputs_of(pipeline, task)
        )

    def pipeline_class(self, task: Task) -> type[DiffusionPipeline]:
        """Return the class that does a task. Raises BadInput where the family has none."""
        try:
            return _pipeline_classes(task)[self.name]
        except KeyError as error:
            raise self._explain_missing_task(task) from error

    def _explain_missing_task(self, task: Task) -> api.BadInput:
        if task not in (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO):
            if self.video:
                return api.BadInput(
                    f"{self.title} makes videos, not images.", "Use it in Video, or choose another model."
                )
            return api.BadInput(f"{self.title} cannot start from {task.value}.", "Choose another model.")
        if not self.video:
            return api.BadInput(
                f"{self.title} makes images, not videos.",
                "Choose a video model, or add a motion adapter to a model of Stable Diffusion 1.",
            )
        if task is Task.TEXT_TO_VIDEO:
            return api.BadInput(f"{self.title} needs an image to start from.", "Choose an image, or another model.")
        return api.BadInput(f"{self.title} starts from a prompt alone.", "Remove the image, or choose another model.")


_PRIOR_FAMILY: dict[str, Any] = {
    "multiple": 16,
    "min_side": 128,
    "steps_name": "prior_num_inference_steps",
    "guidance_name": "prior_guidance_scale",
}
"""Properties of the families whose prior does most of the work."""
_COGVIDEOX: dict[str, Any] = {
    "size": (720, 480),
    "default_frames": 49,
    "frame_group": 8,
    "fps": 8,
    "frames_first": True,
    "fixed_scheduler": True,
}
_VIDEO_FAMILIES = (
    Family(
        "animatediff",
        "AnimateDiff",
        steps=25,
        native_size=512,
        video=VideoSpec("AnimateDiffPipeline", size=(512, 512), default_frames=16, frame_group=1, max_frames=32, fps=8),
        tested=True,
    ),
    Family(
        "ltx",
        "LTX-Video",
        video=VideoSpec(
            "LTXPipeline",
            "LTXImageToVideoPipeline",
            size=(704, 512),
            default_frames=161,
            frame_group=8,
            fps=25,
            fps_argument="frame_rate",
        ),
        tested=True,
    ),
    Family("wan", "Wan text-to-video", 2, video=VideoSpec("WanPipeline"), tested=True),
    Family("wan-i2v", "Wan image-to-video", 2, video=VideoSpec(image_pipeline="WanImageToVideoPipeline"), tested=True),
    Family("cogvideox", "CogVideoX text-to-video", 2, video=VideoSpec("CogVideoXPipeline", **_COGVIDEOX), tested=True),
    Family(
        "cogvideox-i2v",
        "CogVideoX image-to-video",
        2,
        video=VideoSpec(image_pipeline="CogVideoXImageToVideoPipeline", **_COGVIDEOX),
        tested=True,
    ),
    Family(
        "hunyuan-video",
        "HunyuanVideo",
        2,
        video=VideoSpec("HunyuanVideoPipeline", size=(1280, 720), default_frames=129, fps=24),
        tested=True,
    ),
    Family(
        "mochi",
        "Mochi",
        2,
        video=VideoSpec("MochiPipeline", size=(848, 480), default_frames=85, frame_group=6, fps=30),
        tested=True,
    ),
    Family(
        "stable-video-diffusion",
        "Stable Video Diffusion",
        8,
        guidance_name="max_guidance_scale",
        video=VideoSpec(
            image_pipeline="StableVideoDiffusionPipeline",
            size=(1024, 576),
            default_frames=25,
            frame_group=1,
            fps=7,
            fps_argument="fps",
            frames_first=True,
            fixed_scheduler=True,
        ),
        tested=True,
    ),
)

_IMAGE_FAMILIES = (
    Family("stable-diffusion", "Stable Diffusion 1 and 2", steps=25, native_size=512, tested=True),
    Family("stable-diffusion-xl", "Stable Diffusion XL", steps=30, tested=True),
    Family("depth", "Stable Diffusion with depth", native_size=512, tested=True),
    Family("instruct-pix2pix", "InstructPix2Pix", native_size=512, tested=True),
    Family("instruct-pix2pix-xl", "InstructPix2Pix XL", tested=True),
    Family("stable-diffusion-3", "Stable Diffusion 3", 2, tested=True),
    Family("lcm", "Latent consistency", native_size=768, tested=True),
    Family("flux", "FLUX.1", 2, tested=True),
    Family("flux-kontext", "FLUX.1 Kontext", 2, tested=True),
    Family("flux-fill", "FLUX.1 Fill", 2, tested=True),
    Family("flux2", "FLUX.2", 2, min_side=64, tested=True),
    Family("flux2-klein", "FLUX.2 Klein", 2, min_side=64, tested=True),
    Family("qwenimage", "Qwen-Image", 2, guidance=4.0, guidance_name="true_cfg_scale", tested=True),
    Family("qwenimage-edit", "Qwen-Image-Edit", 2, guidance=4.0, guidance_name="true_cfg_scale"),
    Family("qwenimage-edit-plus", "Qwen-Image-Edit 2509", 2, guidance=4.0, guidance_name="true_cfg_scale"),
    Family("z-image", "Z-Image", 2, tested=True),
    Family("pixart-alpha", "PixArt-α", 2, tested=True),
    Family("pixart-sigma", "PixArt-Σ", 2, tested=True),
    Family("sana", "Sana", tested=True),
    Family("hunyuan", "Hunyuan-DiT", 2, tested=True),
    Family("auraflow", "AuraFlow", 2, tested=True),
    Family("chroma", "Chroma", 2, tested=True),
    Family("lumina", "Lumina", 2, tested=True),
    Family("lumina2", "Lumina 2", 2, tested=True),
    Family("cogview3", "CogView 3", 2, tested=True),
    Family("cogview4", "CogView 4", 2, tested=True),
    Family("kandinsky", "Kandinsky 2.1", 8, native_size=512, min_side=64, needs_inpainting_model=True, tested=True),
    Family("kandinsky22", "Kandinsky 2.2", 8, native_size=512, min_side=64, needs_inpainting_model=True, tested=True),
    Family("kandinsky3", "Kandinsky 3", 8, min_side=64, tested=True),
    Family("wuerstchen", "Würstchen", **_PRIOR_FAMILY, tested=True),
    Family("cascade", "Stable Cascade", **_PRIOR_FAMILY, tested=True),
    Family("krea2", "Krea 2", 2, tested=True),
    Family("ovis", "Ovis-Image", 2, tested=True),
    Family("prx", "PRX", 2, tested=True),
    Family("qwenimage21", "Qwen-Image 2.1", 2, guidance_name="true_cfg_scale"),
)

FAMILIES: dict[str, Family] = {family.name: family for family in (*_IMAGE_FAMILIES, *_VIDEO_FAMILIES)}


def family_of(pipeline: str) -> Family:
    """Return the family of a pipeline class, by its name. Raises BadInput where no tool supports it."""
    classes = (*(item for task in Task for item in _pipeline_classes(task).items()), *decoder_pipelines())
    for family, pipeline_class in classes:
        if pipeline_class.__name__ == pipeline and family in FAMILIES:
            return FAMILIES[family]
    if pipeline.endswith("PriorPipeline"):
        raise api.BadInput(
            f"A {pipeline} only encodes the prompt; the decoder that makes the image is in another folder.",
            "Choose the decoder's folder, and put this one next to it.",
        )
    if pipeline.endswith(("Blocks", "ModularPipeline")):
        raise api.BadInput(f"{pipeline} is a modular pipeline, which is not supported.", "Choose another model.")
    raise api.BadInput(
        f"The model is a {pipeline or 'model of unknown kind'}, which makes no images.", "Choose another model."
    )


def accepts(pipe: DiffusionPipeline, argument: str) -> bool:
    """Check whether a call of the pipeline has an argument of this name."""
    return argument in inspect.signature(type(pipe).__call__).parameters


def default_of(pipe: DiffusionPipeline, argument: str) -> Any:
    """Return the default of an argument of the pipeline's call; None where there is none."""
    parameter = inspect.signature(type(pipe).__call__).parameters.get(argument)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def decoder_pipelines() -> tuple[tuple[str, type[DiffusionPipeline]], ...]:
    """Return family and class of the pipelines that decode the image embedding of a prior."""
    from diffusers.pipelines import auto_pipeline

    return (
        *auto_pipeline._AUTO_TEXT2IMAGE_DECODER_PIPELINES_MAPPING.items(),
        *auto_pipeline._AUTO_IMAGE2IMAGE_DECODER_PIPELINES_MAPPING.items(),
        *auto_pipeline._AUTO_INPAINT_DECODER_PIPELINES_MAPPING.items(),
    )


def _has_inputs_of(pipeline: type[DiffusionPipeline], task: Task) -> bool:
    """Check that a class with ControlNets takes the inputs of the task; some take `image` for the control image."""
    known = inspect.signature(pipeline.__call__).parameters
    if ("mask_image" in known) != (task is Task.INPAINT):
        return False
    return task is Task.TEXT_TO_IMAGE or {"image", "control_image"} <= known.keys()


def _pipeline_classes(task: Task) -> Mapping[str, type[DiffusionPipeline]]:
    """Map the names of families, and of their variants with ControlNets, to the class for a task."""
    import diffusers
    from diffusers.pipelines import auto_pipeline

    if task in (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO):
        names = {
            family.name: family.video.text_pipeline if task is Task.TEXT_TO_VIDEO else family.video.image_pipeline
            for family in _VIDEO_FAMILIES
            if family.video
        }
        return {family: getattr(diffusers, name) for family, name in names.items() if name}
    classes: Mapping[str, type[DiffusionPipeline]] = {
        Task.TEXT_TO_IMAGE: auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        Task.IMAGE_TO_IMAGE: auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
        Task.INPAINT: auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING,
    }[task]
    further = {family: getattr(diffusers, name) for family, name in _FURTHER_PIPELINES.get(task, {}).items()}
    return {**classes, **further}


_FURTHER_PIPELINES: dict[Task, dict[str, str]] = {
    Task.IMAGE_TO_IMAGE: {
        "chroma": "ChromaImg2ImgPipeline",
        "depth": "StableDiffusionDepth2ImgPipeline",
        "instruct-pix2pix": "StableDiffusionInstructPix2PixPipeline",
        "instruct-pix2pix-xl": "StableDiffusionXLInstructPix2PixPipeline",
    },
    Task.INPAINT: {
        "flux-fill": "FluxFillPipeline",
        "flux-kontext": "FluxKontextInpaintPipeline",
        "flux2-klein": "Flux2KleinInpaintPipeline",
    },
}
"""Pipelines of diffusers that its auto classes lack."""
