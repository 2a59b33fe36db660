"""Morph, blend and generate pictures with variational autoencoders."""

from __future__ import annotations

from studio import api

from .tools.blend import Blend
from .tools.dream import Dream
from .tools.evaluate import EvaluateVae
from .tools.grid import Grid
from .tools.latent_arithmetic import LatentArithmetic
from .tools.morph import Morph
from .tools.reconstruct import Reconstruct
from .tools.train import TrainVae

__version__ = "1.0"
api_version = 1
title = "Morph"


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [Morph, Blend, Grid, LatentArithmetic, Dream, Reconstruct, EvaluateVae, TrainVae]
