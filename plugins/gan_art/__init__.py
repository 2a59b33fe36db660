"""GAN art: sample, steer, breed, edit and train generative adversarial networks."""

from __future__ import annotations

from studio import api

from .tools.bend import Bend
from .tools.blend_models import BlendModels
from .tools.breed import Breed
from .tools.critique import Critique
from .tools.drag import Drag
from .tools.dream import Dream
from .tools.find_directions import FindDirections
from .tools.import_gan import ImportGan
from .tools.invert import Invert
from .tools.mix import Mix
from .tools.name_directions import NameDirections
from .tools.steer import Steer
from .tools.teach_direction import TeachDirection
from .tools.train import TrainGan
from .tools.tune import Tune
from .tools.walk import Walk

__version__ = "1.0"
api_version = 1
title = "GAN"


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    makers = [Dream, Walk, Mix, Breed, Steer, Invert, Drag, Bend, Critique]
    return [*makers, FindDirections, TeachDirection, NameDirections, TrainGan, Tune, BlendModels, ImportGan]
