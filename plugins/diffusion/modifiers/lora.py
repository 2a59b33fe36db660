"""LoRAs: small files that change a model for one picture. The base stays loaded, and comes out as it went in."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import api

from ..checkpoints import probe
from ..models.model import Model

_TAG = re.compile(r"<lora:([^:<>]+)(?::\s*([+-]?\d*\.?\d+)\s*)?>")
_BROKEN = (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError)


@dataclass(frozen=True)
class Lora:
    """`weight` 1 is how it was trained, 0 does nothing, below 0 does the opposite."""

    path: Path
    weight: float


def collect_loras(ctx: api.Context, prompt: str, chosen: Sequence[str], weights: Sequence[float]) -> list[Lora]:
    """Those of the form, then those of ``<lora:name:0.8>`` in the prompt.

    Raises BadInput for what is missing, damaged, or no LoRA.
    """
    if len(weights) > len(chosen):
        raise api.BadInput(f"There are {len(weights)} weights for {len(chosen)} LoRAs.", "Take some away.")
    asked = [*zip(chosen, [*weights, *[1.0] * len(chosen)], strict=False)]
    asked += [(name.strip(), float(weight or 1.0)) for name, weight in _TAG.findall(prompt)]
    return [Lora(_file(ctx, name), weight) for name, weight in asked]


def strip_tags(prompt: str) -> str:
    """What the text encoder is given."""
    return _TAG.sub("", prompt)


@contextmanager
def apply(ctx: api.Context, model: Model, pipe: Any, params: Any) -> Iterator[dict[str, Any]]:
    """The pipeline with the LoRAs that are asked for, until the block ends."""
    loras = collect_loras(ctx, params.prompt, params.loras, params.lora_weights)
    if not loras:
        yield {}
        return
    if not hasattr(pipe, "load_lora_weights"):
        raise api.BadInput(f"{model.family.title} takes no LoRAs.", "Take them away, or choose another model.")
    names = [f"lora_{number}" for number in range(len(loras))]
    try:
        for name, lora in zip(names, loras, strict=True):
            _load(model, pipe, name, lora)
        pipe.set_adapters(names, [lora.weight for lora in loras])
        yield {}
    finally:
        pipe.unload_lora_weights()


def _load(model: Model, pipe: Any, name: str, lora: Lora) -> None:
    misfit = api.BadInput(
        f"{lora.path.name} is made for another model than {model.title}.", "Choose a LoRA of the same family."
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pipe.load_lora_weights(
                str(lora.path.parent), weight_name=lora.path.name, adapter_name=name, local_files_only=True
            )
        except _BROKEN as error:
            raise misfit from error
    if name not in {one for names in pipe.get_list_adapters().values() for one in names}:
        raise misfit


def _file(ctx: api.Context, name: str) -> Path:
    """By its name, with or without the ending; or a folder that holds one."""
    try:
        found = ctx.model(name)
    except api.BadInput:
        if name.endswith(".safetensors"):
            raise
        found = ctx.model(f"{name}.safetensors")
    path = Path(found)
    if path.is_dir():
        inside = sorted(path.glob("*.safetensors"))
        if len(inside) != 1:
            raise api.BadInput(f"{path.name} is no folder of a LoRA.", "Choose its safetensors file.")
        path = inside[0]
    what = probe.identify(api.model_files.weight_shapes(path))
    if not what.lora:
        raise api.BadInput(f"{path.name} is {what.what}, and no LoRA.", "Choose another file.")
    return path
