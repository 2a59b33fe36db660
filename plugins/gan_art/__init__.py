"""GAN art: sample, steer, breed, edit and train generative adversarial networks."""

from __future__ import annotations

from studio import api

from .tools.dream import Dream
from .tools.train import TrainGan

__version__ = "1.0"
api_version = 1
title = "GAN"


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [Dream, TrainGan]
