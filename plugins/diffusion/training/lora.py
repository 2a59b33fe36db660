"""LoRA training (Hu et al. 2022, arXiv 2106.09685): small layers beside those of a frozen model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from studio import api

from . import adapter, base_model, lora_file
from .adapter import AdapterOptions
from .base_model import BaseModel


def prepare_lora_training(
    ctx: api.Context, choice: str, options: AdapterOptions, side: int, start_from: str | None = None
) -> BaseModel:
    """Load a model, freeze it, and add an adapter for images of `side` px, perhaps with the weights of another LoRA.

    The form of the LoRA that it goes on from replaces the options. The weights follow from torch's seed.
    Raises BadInput for a model whose LoRAs cannot be trained here, and for a LoRA that does not fit.
    """
    requirement = "LoRA training supports Stable Diffusion 1, 2 and XL and models trained here"
    pipelines = (base_model.SD_PIPELINE, base_model.SDXL_PIPELINE)
    base = base_model.copy_base_model(ctx, choice, side, pipelines, requirement)
    if not start_from:
        adapter.add_adapters(base.components, options)
        return replace(base, adapter=options)
    path = _find_lora(ctx, start_from)
    options, layers = lora_file.read_start(path, options)
    adapter.add_adapters(base.components, options)
    title = path.parent.name if path.name == lora_file.FILE else path.stem
    for notice in lora_file.load_start(base.components, layers, options, title):
        ctx.emit(notice)
    ctx.emit(api.Notice(f"Goes on from {title}, of rank {options.rank} and alpha {options.scale_alpha:g}."))
    return replace(base, adapter=options)


def _find_lora(ctx: api.Context, choice: str) -> Path:
    path = Path(ctx.model(choice))
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.safetensors"))
    if len(files) != 1:
        raise api.BadInput(f"{path.name} is no folder of a LoRA.", "Choose its safetensors file.")
    return files[0]
