"""Morphs, blends and dreams with variational autoencoders."""

from __future__ import annotations

from studio import api

from .tools.blend import Blend
from .tools.dream import Dream
from .tools.evaluate import VaeMeasure
from .tools.grid import Grid
from .tools.latent_arithmetic import Arithmetic
from .tools.morph import Morph
from .tools.reconstruct import Inspect
from .tools.train import VaeTrain

__version__ = "1.0"
api_version = 1
title = "Morph"


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [Morph, Blend, Grid, Arithmetic, Dream, Inspect, VaeMeasure, VaeTrain]
