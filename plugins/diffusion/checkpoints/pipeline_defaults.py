"""Default arguments of the diffusers pipelines, known without importing diffusers.

That import takes seconds. Two imports of diffusers at the same time can also fail, since its modules import each
other. A test compares the table with the pipelines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TASK_SUFFIX = re.compile(r"(Img2Img|Inpaint|Combined|Decoder)*Pipeline$")


@dataclass(frozen=True)
class PipelineDefaults:
    """Default arguments of a diffusers pipeline.

    `guidance` is 0 where guidance costs no second pass. `max_tokens` is the longest prompt, None where only the
    tokenizer limits it. `has_strength` is False where image-to-image always goes all the way.
    """

    family: str
    steps: int = 50
    guidance: float = 5.0
    max_tokens: int | None = None
    has_strength: bool = True


PIPELINE_DEFAULTS: dict[str, PipelineDefaults] = {
    "StableDiffusion": PipelineDefaults("stable-diffusion", guidance=7.5),
    "StableDiffusionXL": PipelineDefaults("stable-diffusion-xl"),
    "StableDiffusion3": PipelineDefaults("stable-diffusion-3", 28, 7.0, 256),
    "StableDiffusionDepth2Img": PipelineDefaults("depth", guidance=7.5),
    "StableDiffusionInstructPix2Pix": PipelineDefaults("instruct-pix2pix", 100, 7.5, has_strength=False),
    "StableDiffusionXLInstructPix2Pix": PipelineDefaults("instruct-pix2pix-xl", 100, has_strength=False),
    "LatentConsistencyModel": PipelineDefaults("lcm", 4, 0.0),
    "Flux": PipelineDefaults("flux", 28, 0.0, 512),
    "FluxKontext": PipelineDefaults("flux-kontext", 28, 0.0, 512, has_strength=False),
    "FluxFill": PipelineDefaults("flux-fill", 50, 0.0, 512),
    "Flux2": PipelineDefaults("flux2", 50, 0.0, 512, has_strength=False),
    "Flux2Klein": PipelineDefaults("flux2-klein", 50, 4.0, 512, has_strength=False),
    "QwenImage": PipelineDefaults("qwenimage", 50, 4.0, 512),
    "QwenImageEdit": PipelineDefaults("qwenimage-edit", 50, 4.0, 512, has_strength=False),
    "QwenImageEditPlus": PipelineDefaults("qwenimage-edit-plus", 50, 4.0, 512, has_strength=False),
    "QwenImage21": PipelineDefaults("qwenimage21", 40, 1.0),
    "ZImage": PipelineDefaults("z-image", max_tokens=512),
    "PixArtAlpha": PipelineDefaults("pixart-alpha", 20, 4.5, 120),
    "PixArtSigma": PipelineDefaults("pixart-sigma", 20, 4.5, 300),
    "Sana": PipelineDefaults("sana", 20, 4.5, 300),
    "HunyuanDiT": PipelineDefaults("hunyuan"),
    "AuraFlow": PipelineDefaults("auraflow", 50, 3.5, 256),
    "Chroma": PipelineDefaults("chroma", 35, 5.0, 512),
    "Lumina": PipelineDefaults("lumina", 30, 4.0, 256),
    "Lumina2": PipelineDefaults("lumina2", 30, 4.0, 256),
    "CogView3Plus": PipelineDefaults("cogview3", 50, 5.0, 224),
    "CogView4": PipelineDefaults("cogview4", 50, 5.0, 1024),
    "Kandinsky": PipelineDefaults("kandinsky", 100, 4.0),
    "KandinskyV22": PipelineDefaults("kandinsky22", 100, 4.0),
    "Kandinsky3": PipelineDefaults("kandinsky3", 25, 3.0),
    "Wuerstchen": PipelineDefaults("wuerstchen", 60, 4.0),
    "StableCascade": PipelineDefaults("cascade", 60, 4.0),
    "Krea2": PipelineDefaults("krea2", 28, 4.5, 512),
    "OvisImage": PipelineDefaults("ovis", 50, 5.0, 256),
    "PRX": PipelineDefaults("prx", 28, 4.0),
}
"""Defaults by the name of the pipeline class without its task (see `pipeline_stem`)."""


def pipeline_stem(pipeline: str) -> str:
    """Return a class name without its task: ``StableDiffusionXL`` for ``StableDiffusionXLImg2ImgPipeline``."""
    return pipeline if pipeline in PIPELINE_DEFAULTS else _TASK_SUFFIX.sub("", pipeline)
