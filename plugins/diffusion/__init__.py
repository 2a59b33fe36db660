"""Generate images and videos with diffusion models, and train them."""

from __future__ import annotations

from studio import api

from .tools.combine_loras import CombineLoras
from .tools.control_map import ControlMap
from .tools.evaluate import EvaluateDiffusion
from .tools.extract_lora import ExtractLora
from .tools.image_to_image import ImageToImage
from .tools.inpaint import Inpaint
from .tools.merge_loras import MergeLoras
from .tools.resize_lora import ResizeLora
from .tools.text_to_image import TextToImage
from .tools.tiled_upscale import TiledUpscale
from .tools.train import TrainDiffusion
from .tools.variations import Variations
from .tools.video import Video

__version__ = "1.0"
api_version = 1
title = "Diffusion"


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [
        TextToImage,
        ImageToImage,
        Inpaint,
        Variations,
        TiledUpscale,
        Video,
        ControlMap,
        TrainDiffusion,
        EvaluateDiffusion,
        MergeLoras,
        ExtractLora,
        ResizeLora,
        CombineLoras,
    ]
