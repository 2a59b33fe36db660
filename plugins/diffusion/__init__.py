"""From words to pictures, with diffusion models of every family."""

from __future__ import annotations

from studio import api

from .tools.control_map import MakeGuide
from .tools.evaluate import DiffusionMeasure
from .tools.image_to_image import Repaint
from .tools.inpaint import Inpaint
from .tools.text_to_image import Paint
from .tools.tiled_upscale import Upscale
from .tools.train import DiffusionTrain
from .tools.variations import Vary
from .tools.video import Animate

__version__ = "1.0"
api_version = 1
title = "Paint"


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [Paint, Repaint, Inpaint, Vary, Upscale, Animate, MakeGuide, DiffusionTrain, DiffusionMeasure]
