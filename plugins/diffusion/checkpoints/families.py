"""The families of models, and what differs between them. The rest is read off the pipelines themselves."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from studio import api

DENOISERS = ("unet", "transformer", "prior", "decoder", "transformer_2", "prior_prior")
"""Names of the components that denoise, in pipelines and in folders, those that tell a model's size first."""


class Task(Enum):
    """What a pipeline starts from."""

    TEXT_TO_IMAGE = "words"
    IMAGE_TO_IMAGE = "a picture"
    INPAINT = "a picture and a mask"
    TEXT_TO_VIDEO = "words, and makes a video"
    IMAGE_TO_VIDEO = "a picture, and makes a video"


@dataclass(frozen=True)
class VideoSpec:
    """Properties of a family of video models.

    `text_pipeline` and `image_pipeline` are the names of the diffusers classes that start from a prompt and from an
    image; empty where the family has none.
    """

    text_pipeline: str = ""
    image_pipeline: str = ""
    size: tuple[int, int] = (832, 480)
    """Width and height in pixels of what the family was made for; others with as many pixels will do."""
    default_frames: int = 81
    """How many there are when nothing else is said."""
    frame_group: int = 4
    """All frames but the first come in groups of this many."""
    max_frames: int | None = None
    """Frames, where there is an end."""
    fps: float = 16.0
    fps_argument: str = ""
    """The argument that tells the model, where it wants to know."""
    frames_first: bool = False
    """Whether latents are [n, frames, channels, h, w] and not [n, channels, frames, h, w]."""
    fixed_scheduler: bool = False
    """Whether the model works with its own sampler alone."""

    def nearest_frame_count(self, frames: float) -> int:
        """The nearest number of frames that can be made, at least one group and the first."""
        most = ((self.max_frames or 10**6) - 1) // self.frame_group
        return min(max(1, round((frames - 1) / self.frame_group)), most) * self.frame_group + 1


@dataclass(frozen=True)
class Family:
    """A family by its name in diffusers' auto classes.

    `multiple` is what sides must be multiples of, in latent pixels, and `least` what they
    must have in pixels. `steps` and `guidance`
    are the defaults, None where the pipeline's own are good. `steps_name` and
    `guidance_name` are the arguments that take them.
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
    """Whether inpainting needs a model that was made for it."""
    video: VideoSpec | None = None
    """What a family of video needs, which makes no pictures."""
    tested: bool = False
    """Whether a test runs every tool with a real, tiny model of the family."""

    def supports(self, task: Task) -> bool:
        return self.name in _mapping(task)

    def controlnet_pipelines(self, task: Task) -> tuple[Any, ...]:
        """The classes that do a task guided by ControlNets, one for each kind of these; none where there are none."""
        return tuple(
            pipeline
            for name, pipeline in _mapping(task).items()
            if name.startswith(f"{self.name}-controlnet") and not name.endswith("-pag") and _starts_from(pipeline, task)
        )

    def pipeline_class(self, task: Task) -> Any:
        """The class that does a task. Raises BadInput when the family has none."""
        try:
            return _mapping(task)[self.name]
        except KeyError as error:
            raise self._lacking(task) from error

    def _lacking(self, task: Task) -> api.BadInput:
        if task not in (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO):
            if self.video:
                return api.BadInput(
                    f"{self.title} makes videos, and no pictures.", "Use it in Animate, or choose another model."
                )
            return api.BadInput(f"{self.title} has no pipeline that starts from {task.value}.", "Choose another model.")
        if not self.video:
            return api.BadInput(
                f"{self.title} makes pictures, and no videos.",
                "Choose a model of video, or, for Stable Diffusion 1, a motion adapter with it.",
            )
        if task is Task.TEXT_TO_VIDEO:
            return api.BadInput(f"{self.title} needs a picture to begin with.", "Choose one, or another model.")
        return api.BadInput(f"{self.title} starts from words alone.", "Take the picture away, or choose another model.")


_OF_EMBEDDINGS: dict[str, Any] = {
    "multiple": 16,
    "min_side": 128,
    "steps_name": "prior_num_inference_steps",
    "guidance_name": "prior_guidance_scale",
}
"""Of the families whose prior does most of the work."""


_OF_COGVIDEOX: dict[str, Any] = {
    "size": (720, 480),
    "default_frames": 49,
    "frame_group": 8,
    "fps": 8,
    "frames_first": True,
    "fixed_scheduler": True,
}
_OF_VIDEO = (
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
    Family("wan", "Wan, from words", 2, video=VideoSpec("WanPipeline"), tested=True),
    Family("wan-i2v", "Wan, from a picture", 2, video=VideoSpec(image_pipeline="WanImageToVideoPipeline"), tested=True),
    Family("cogvideox", "CogVideoX, from words", 2, video=VideoSpec("CogVideoXPipeline", **_OF_COGVIDEOX), tested=True),
    Family(
        "cogvideox-i2v",
        "CogVideoX, from a picture",
        2,
        video=VideoSpec(image_pipeline="CogVideoXImageToVideoPipeline", **_OF_COGVIDEOX),
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

_KNOWN = (
    Family("stable-diffusion", "Stable Diffusion 1 and 2", steps=25, native_size=512, tested=True),
    Family("stable-diffusion-xl", "Stable Diffusion XL", steps=30, tested=True),
    Family("depth", "Stable Diffusion with depth", native_size=512, tested=True),
    Family("instruct-pix2pix", "InstructPix2Pix", native_size=512, tested=True),
    Family("instruct-pix2pix-xl", "InstructPix2Pix XL", tested=True),
    Family("stable-diffusion-3", "Stable Diffusion 3", 2, tested=True),
    Family("lcm", "Latent consistency", native_size=768, tested=True),
    Family("flux", "Flux.1", 2, tested=True),
    Family("flux-kontext", "Flux.1 Kontext", 2, tested=True),
    Family("flux-fill", "Flux.1 Fill", 2, tested=True),
    Family("flux2", "Flux.2", 2, min_side=64, tested=True),
    Family("flux2-klein", "Flux.2 Klein", 2, min_side=64, tested=True),
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
    Family("wuerstchen", "Würstchen", **_OF_EMBEDDINGS, tested=True),
    Family("cascade", "Stable Cascade", **_OF_EMBEDDINGS, tested=True),
    Family("krea2", "Krea 2", 2, tested=True),
    Family("ovis", "Ovis-Image", 2, tested=True),
    Family("prx", "PRX", 2, tested=True),
    Family("qwenimage21", "Qwen-Image 2.1", 2, guidance_name="true_cfg_scale"),
    *_OF_VIDEO,
)

FAMILIES: dict[str, Family] = {family.name: family for family in _KNOWN}


def family_of(name: str) -> Family:
    """The family of a pipeline class. Raises BadInput for what is not painted with here."""
    for family, pipeline in (*(one for task in Task for one in _mapping(task).items()), *decoder_pipelines()):
        if pipeline.__name__ == name and family in FAMILIES:
            return FAMILIES[family]
    if name.endswith("PriorPipeline"):
        raise api.BadInput(
            f"A {name} only reads the words; what paints is in another folder.",
            "Choose that one, with this next to it.",
        )
    if name.endswith(("Blocks", "ModularPipeline")):
        raise api.BadInput(
            f"{name} is a modular pipeline, which has no ordinary one to run it with.", "Choose another model."
        )
    raise api.BadInput(f"The model is a {name or 'model of no named kind'}, which cannot paint.", "Choose another.")


def accepts(pipe: Any, argument: str) -> bool:
    """Whether a call of the pipeline knows an argument."""
    return argument in inspect.signature(type(pipe).__call__).parameters


def default_of(pipe: Any, argument: str) -> Any:
    """What a call of the pipeline takes when it is not told otherwise; None for what it does not know."""
    parameter = inspect.signature(type(pipe).__call__).parameters.get(argument)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def decoder_pipelines() -> tuple[tuple[str, Any], ...]:
    """Family and class of the pipelines that paint from an embedding, which a prior makes of the words."""
    from diffusers.pipelines import auto_pipeline

    found: tuple[tuple[str, Any], ...] = (
        *auto_pipeline._AUTO_TEXT2IMAGE_DECODER_PIPELINES_MAPPING.items(),
        *auto_pipeline._AUTO_IMAGE2IMAGE_DECODER_PIPELINES_MAPPING.items(),
        *auto_pipeline._AUTO_INPAINT_DECODER_PIPELINES_MAPPING.items(),
    )
    return found


def _starts_from(pipeline: Any, task: Task) -> bool:
    """Whether a class with ControlNets also takes what the task starts from. Some take that for the guide."""
    known = inspect.signature(pipeline.__call__).parameters
    if ("mask_image" in known) != (task is Task.INPAINT):
        return False
    return task is Task.TEXT_TO_IMAGE or {"image", "control_image"} <= known.keys()


def _mapping(task: Task) -> Mapping[str, Any]:
    import diffusers
    from diffusers.pipelines import auto_pipeline

    if task in (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO):
        names = {
            family.name: family.video.text_pipeline if task is Task.TEXT_TO_VIDEO else family.video.image_pipeline
            for family in _OF_VIDEO
            if family.video
        }
        return {family: getattr(diffusers, name) for family, name in names.items() if name}
    mapping: Mapping[str, Any] = {
        Task.TEXT_TO_IMAGE: auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        Task.IMAGE_TO_IMAGE: auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
        Task.INPAINT: auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING,
    }[task]
    return {**mapping, **{family: getattr(diffusers, name) for family, name in _MORE.get(task, {}).items()}}


_MORE: dict[Task, dict[str, str]] = {
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
"""What diffusers has and its auto classes do not name."""
