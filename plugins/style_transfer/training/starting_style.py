"""The style that a training goes on from."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..models import generators
from ..models.style import Style, load_style
from .params import TrainingKind

if TYPE_CHECKING:
    from torch import nn

NETWORKS: Mapping[TrainingKind, str] = {
    "effect": "pattern",
    "paintings": "pattern",
    "cut": "resnet",
    "cyclegan": "resnet",
}
"""Architecture of the generator of each type of training."""
METHODS = {
    "pattern": "Effect or A few paintings",
    "resnet": "Many paintings (CUT or CycleGAN)",
}
"""Training types that go on from an architecture."""


@dataclass(frozen=True)
class StartingStyle:
    """A copy of a style's generator, ready for training, with its config."""

    network: nn.Module
    config: Mapping[str, Any]
    title: str


def load_starting_style(ctx: api.Context, choice: str, kind: TrainingKind) -> StartingStyle:
    """Load a style to start from. Raises BadInput for one whose network this type of training does not train."""
    style = load_style(ctx, choice)
    if not isinstance(style, Style):
        raise api.BadInput(f"{style.title} is an ONNX file, which cannot be trained.", "Choose another base style.")
    if style.architecture != NETWORKS[kind]:
        methods = METHODS.get(style.architecture)
        types = f"the training type {methods}, or " if methods else ""
        raise api.BadInput(
            f"{style.title} has another network than this training type: {style.architecture}, not {NETWORKS[kind]}.",
            f"Choose {types}another base style.",
        )
    network = copy.deepcopy(style.network).requires_grad_(True)  # the loaded one stays in use elsewhere
    config = {name: value for name, value in style.config.items() if name != "values"}  # trained on -1..1 from here on
    return StartingStyle(network, config, style.title)


def read_starting_config(ctx: api.EstimateContext, choice: str, kind: TrainingKind) -> str:
    """Return the config of a style to start from as JSON; empty where it has none that fits."""
    try:
        path = ctx.model(choice)
        config = json.loads((path / generators.CONFIG).read_bytes()) if isinstance(path, Path) else None
    except (api.BadInput, OSError, ValueError):
        return ""
    fits = isinstance(config, dict) and config.get("network") == NETWORKS[kind]
    return json.dumps(config, sort_keys=True) if fits else ""
