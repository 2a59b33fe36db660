"""LoRAs: small files that change a model for one image. The model stays loaded, and is left unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints import probe
from ..models.model import Model

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_TAG = re.compile(r"<lora:([^:<>]+)(?::\s*([+-]?\d*\.?\d+)\s*)?>")


@dataclass(frozen=True)
class Lora:
    """A LoRA and its weight: 1 as it was trained, 0 without effect, below 0 with the opposite effect."""

    path: Path
    weight: float


def collect_loras(ctx: api.Context, prompt: str, choices: Sequence[str], weights: Sequence[float]) -> list[Lora]:
    """Collect the LoRAs of the form, then those of tags such as ``<lora:name:0.8>`` in the prompt.

    A missing weight is 1. Raises BadInput for a file that is missing, damaged, or no LoRA.
    """
    if len(weights) > len(choices):
        raise api.BadInput(f"There are {len(weights)} weights for {len(choices)} LoRAs.", "Remove some weights.")
    named = [*zip(choices, [*weights, *[1.0] * len(choices)], strict=False)]
    named += [(name.strip(), float(weight or 1.0)) for name, weight in _TAG.findall(prompt)]
    return [Lora(_find_file(ctx, name), weight) for name, weight in named]


def strip_tags(prompt: str) -> str:
    """Remove the LoRA tags, which the text encoder must not see."""
    return _TAG.sub("", prompt)


@contextmanager
def apply(ctx: api.Context, model: Model, pipe: DiffusionPipeline, params: Any) -> Iterator[dict[str, Any]]:
    """Load the chosen LoRAs into the pipeline until the block ends."""
    loras = collect_loras(ctx, params.prompt, params.loras, params.lora_weights)
    if not loras:
        yield {}
        return
    if not hasattr(pipe, "load_lora_weights"):
        raise api.BadInput(f"{model.family.title} does not support LoRAs.", "Remove them, or choose another model.")
    names = [f"lora_{number}" for number in range(len(loras))]
    try:
        for name, lora in zip(names, loras, strict=True):
            _load(model, pipe, name, lora)
        pipe.set_adapters(names, [lora.weight for lora in loras])
        yield {}
    finally:
        pipe.unload_lora_weights()


def _load(model: Model, pipe: DiffusionPipeline, name: str, lora: Lora) -> None:
    misfit = api.BadInput(
        f"{lora.path.name} is made for another model than {model.title}.", "Choose a LoRA of the same family."
    )
    with api.model_files.quiet_load(misfit):
        pipe.load_lora_weights(
            str(lora.path.parent), weight_name=lora.path.name, adapter_name=name, local_files_only=True
        )
    if not any(name in adapters for adapters in pipe.get_list_adapters().values()):
        raise misfit


def _find_file(ctx: api.Context, name: str) -> Path:
    """Find a LoRA by its name, with or without the suffix, or by the folder that holds it."""
    try:
        location = ctx.model(name)
    except api.BadInput:
        if name.endswith(".safetensors"):
            raise
        location = ctx.model(f"{name}.safetensors")
    path = Path(location)
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        if len(files) != 1:
            raise api.BadInput(f"{path.name} is no folder of a LoRA.", "Choose its safetensors file.")
        path = files[0]
    result = probe.identify(api.model_files.read_weight_shapes(path))
    if result.model_kind != "lora":
        raise api.BadInput(f"{path.name} is {result.description}, and no LoRA.", "Choose another file.")
    return path
