"""What pipelines do when they are not told otherwise, known without importing diffusers.

That import takes seconds, and made beside a job's own it could fail either, since the modules of diffusers import
each other. A test compares the table with the pipelines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_VARIANT = re.compile(r"(Img2Img|Inpaint|Combined|Decoder)*Pipeline$")


@dataclass(frozen=True)
class Usual:
    """`steps` and `guidance` are the defaults of the pipeline itself; `guidance` 0 where it costs no second pass.
    `tokens` is the longest prompt, None where only the tokenizer limits it. `strength` says whether repainting goes
    only part of the way."""

    family: str
    steps: int = 50
    guidance: float = 5.0
    tokens: int | None = None
    strength: bool = True


PIPELINES: dict[str, Usual] = {
    "StableDiffusion": Usual("stable-diffusion", guidance=7.5),
    "StableDiffusionXL": Usual("stable-diffusion-xl"),
    "StableDiffusion3": Usual("stable-diffusion-3", 28, 7.0, 256),
    "StableDiffusionDepth2Img": Usual("depth", guidance=7.5),
    "StableDiffusionInstructPix2Pix": Usual("instruct-pix2pix", 100, 7.5, strength=False),
    "StableDiffusionXLInstructPix2Pix": Usual("instruct-pix2pix-xl", 100, strength=False),
    "LatentConsistencyModel": Usual("lcm", 4, 0.0),
    "Flux": Usual("flux", 28, 0.0, 512),
    "FluxKontext": Usual("flux-kontext", 28, 0.0, 512, strength=False),
    "FluxFill": Usual("flux-fill", 50, 0.0, 512),
    "Flux2": Usual("flux2", 50, 0.0, 512, strength=False),
    "Flux2Klein": Usual("flux2-klein", 50, 4.0, 512, strength=False),
    "QwenImage": Usual("qwenimage", 50, 4.0, 512),
    "QwenImageEdit": Usual("qwenimage-edit", 50, 4.0, 512, strength=False),
    "QwenImageEditPlus": Usual("qwenimage-edit-plus", 50, 4.0, 512, strength=False),
    "QwenImage21": Usual("qwenimage21", 40, 1.0),
    "ZImage": Usual("z-image", tokens=512),
    "PixArtAlpha": Usual("pixart-alpha", 20, 4.5, 120),
    "PixArtSigma": Usual("pixart-sigma", 20, 4.5, 300),
    "Sana": Usual("sana", 20, 4.5, 300),
    "HunyuanDiT": Usual("hunyuan"),
    "AuraFlow": Usual("auraflow", 50, 3.5, 256),
    "Chroma": Usual("chroma", 35, 5.0, 512),
    "Lumina": Usual("lumina", 30, 4.0, 256),
    "Lumina2": Usual("lumina2", 30, 4.0, 256),
    "CogView3Plus": Usual("cogview3", 50, 5.0, 224),
    "CogView4": Usual("cogview4", 50, 5.0, 1024),
    "Kandinsky": Usual("kandinsky", 100, 4.0),
    "KandinskyV22": Usual("kandinsky22", 100, 4.0),
    "Kandinsky3": Usual("kandinsky3", 25, 3.0),
    "Wuerstchen": Usual("wuerstchen", 60, 4.0),
    "StableCascade": Usual("cascade", 60, 4.0),
    "Krea2": Usual("krea2", 28, 4.5, 512),
    "OvisImage": Usual("ovis", 50, 5.0, 256),
    "PRX": Usual("prx", 28, 4.0),
}
"""By the name of the class, without what tells its tasks apart."""


def stem(pipeline: str) -> str:
    """``StableDiffusionXL`` for ``StableDiffusionXLImg2ImgPipeline``."""
    return pipeline if pipeline in PIPELINES else _VARIANT.sub("", pipeline)
