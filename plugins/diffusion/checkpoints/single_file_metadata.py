"""What the header of a single file says of its model, and the folder beside it that gives what it lacks."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

from . import diffusers_folder, metadata, probe
from .families import KNOWN
from .metadata import DENOISERS, Config, Facts, of_folder
from .pipeline_defaults import PIPELINES, stem
from .probe import Shapes
from .single_file_configs import LAYOUTS

_NOT_LOADED = ("model_ema.",)


def of_file(path: Path, stamp: int) -> Facts | None:
    """None for what is no model of a known kind, or lacks parts that no folder beside it has.

    A file that has another `stamp` is read again. Raises BadInput for a damaged one.
    """
    shapes = _shapes(path, stamp)
    layout = LAYOUTS.get(probe.probed(shapes).layout)
    if layout is None:
        return None
    weights = sum(map(math.prod, shapes.values()))
    beside = _beside(path, layout.families)
    packed = metadata.packed(path)
    if layout.pipeline and not packed:
        kind = stem(layout.pipeline)
        denoiser = next((part.config for name, part in layout.parts.items() if name in DENOISERS), {})
        coder: Config = layout.parts["vae"].config
        texts: tuple[Path, ...] = ()
        rest = 0
    elif beside is not None:
        kind, denoiser, coder, texts = beside.kind, beside.denoiser, beside.coder, beside.texts
        rest = beside.weights - beside.denoiser_weights
    else:
        return None
    usual = PIPELINES[kind]
    if usual.family not in KNOWN:
        return None
    held = rest if packed else weights + rest
    return Facts(path.name, kind, usual, KNOWN[usual.family], held, weights, denoiser, coder, texts, packed)


@lru_cache(maxsize=16)
def _shapes(path: Path, stamp: int) -> Shapes:  # noqa: ARG001
    return {name: shape for name, shape in probe.shapes_in(path).items() if not name.startswith(_NOT_LOADED)}


def _beside(path: Path, families: tuple[str, ...]) -> Facts | None:
    """The folder that gives what a file lacks, as `single_file` chooses it."""
    found = []
    for index in sorted(path.parent.glob(f"*/{diffusers_folder.INDEX}")):
        one = of_folder(index.parent)
        if one is not None and one.usual.family in families:
            found.append(one)
    return min(found, key=lambda one: families.index(one.usual.family), default=None)
