"""Morphs, blends and dreams with variational autoencoders."""

from __future__ import annotations

from studio import api

from .arithmetic import Arithmetic
from .blend import Blend
from .dream import Dream
from .grid import Grid
from .inspect import Inspect
from .measuring import VaeMeasure
from .morph import Morph
from .train_tool import VaeTrain

__version__ = "1.0"
api_version = 1
title = "Morph"


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [Morph, Blend, Grid, Arithmetic, Dream, Inspect, VaeMeasure, VaeTrain]
