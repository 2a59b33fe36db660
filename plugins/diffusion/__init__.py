"""From words to pictures, with diffusion models of every family."""

from __future__ import annotations

from studio import api

from .animate import Animate
from .guide_tool import MakeGuide
from .inpaint import Inpaint
from .measure_tool import DiffusionMeasure
from .paint import Paint
from .repaint import Repaint
from .train_tool import DiffusionTrain
from .upscale import Upscale
from .vary import Vary

__version__ = "1.0"
api_version = 1
title = "Paint"


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [Paint, Repaint, Inpaint, Vary, Upscale, Animate, MakeGuide, DiffusionTrain, DiffusionMeasure]
