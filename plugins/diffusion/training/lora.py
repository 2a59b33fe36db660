"""LoRA training (Hu et al. 2022, arXiv 2106.09685): small layers beside those of a frozen model."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio import api

from ..models.loader import LoadedAutoencoder
from ..models.model import Model
from . import adapter, base_model, frozen_weights, lora_file
from .adapter import AdapterOptions
from .base_model import BaseModel
from .flow_families import FLOW_FAMILIES, FlowFamily
from .flow_model import FlowModel, find_call_arguments
from .objective import Weighting
from .options import DiffusionTrainingParams
from .presets import Settings
from .prompt_store import PromptStore
from .trainable_model import TrainableModel


def prepare_lora_training(
    ctx: api.Context, choice: str, options: AdapterOptions, side: int, start_from: str | None = None
) -> BaseModel:
    """Load a model, freeze it, and add an adapter for images of `side` px, perhaps with the weights of another LoRA.

    The form of the LoRA that it goes on from replaces the options. The weights follow from torch's seed.
    Raises BadInput for a model whose LoRAs cannot be trained here, and for a LoRA that does not fit.
    """
    base = _prepare_base_model(ctx, choice, side)
    if not start_from:
        options = _fit_options(base.components, options)
        adapter.add_adapters(base.components, options)
        return replace(base, adapter=options)
    path = _find_lora(ctx, start_from)
    options, layers = lora_file.read_start(path, options)
    options = _fit_options(base.components, options)
    adapter.add_adapters(base.components, options)
    title = path.parent.name if path.name == lora_file.FILE else path.stem
    for notice in lora_file.load_start(base.components, layers, title):
        ctx.emit(notice)
    ctx.emit(api.Notice(f"Goes on from {title}, of rank {options.rank} and alpha {options.scale_alpha:g}."))
    return replace(base, adapter=options)


def _prepare_base_model(ctx: api.Context, choice: str, side: int) -> BaseModel:
    """Load a model of a family whose LoRAs can be trained."""
    model = base_model.load(ctx, choice)
    family = FLOW_FAMILIES.get(type(model.base).__name__)
    if family:
        return _prepare_flow_model(ctx, choice, model, family)
    if base_model.has_noise_schedule(model, (base_model.SD_PIPELINE, base_model.SDXL_PIPELINE)):
        return base_model.copy_base_model(ctx, choice, model, side)
    others = ", ".join(family.title for family in FLOW_FAMILIES.values())
    raise api.BadInput(
        f"LoRAs can be trained for Stable Diffusion 1, 2 and XL, {others} and models trained here, and {model.title} "
        f"({model.family.title}) is none of these.",
        "Choose another model.",
    )


def _prepare_flow_model(ctx: api.Context, choice: str, model: Model, family: FlowFamily) -> BaseModel:
    """Take a model out of the cache, since adapters change it, and prepare it for training."""
    import torch

    ctx.models.drop(model.key)
    pipe = model.base
    dtype = torch.bfloat16 if pipe.transformer.dtype == torch.float16 else pipe.transformer.dtype
    pipe.to(dtype=dtype)
    transformer = pipe.transformer.requires_grad_(False)
    for module in transformer.modules():
        for name, value in module.named_buffers(recurse=False):
            module.register_buffer(name, value, persistent=False)  # frozen, and so no part of checkpoints
    folder, starter = base_model.find_autoencoder(ctx, choice)
    vae = pipe.vae.to(ctx.device, torch.float32).requires_grad_(False).eval()

    def reload() -> Any:
        again = base_model.load(ctx, choice)
        ctx.models.drop(again.key)
        return again.base

    components = FlowModel(
        transformer,
        pipe,
        family,
        PromptStore(ctx.checkpoint_dir / "prompts" / hashlib.sha256(model.key.encode()).hexdigest()[:16]),
        dtype,
        find_call_arguments(pipe, model.family),
        reload,
    )
    return BaseModel(components, LoadedAutoencoder(vae, folder, starter), model.title, model.size)


def fit_settings(
    params: DiffusionTrainingParams, settings: Settings, base: BaseModel, adapter: AdapterOptions, device: str
) -> Generator[api.Event, None, Settings]:
    """Return the settings that the base model and its adapter allow, and say what differs from what was asked for."""
    storage = frozen_weights.choose_storage(params.base_precision, base.components.networks.values(), device)
    if storage != "full":
        sentence = frozen_weights.describe_storage(storage)
        reason = (
            f"Memory is short: {sentence}"
            if params.base_precision == "auto"
            else f"{sentence[0].upper()}{sentence[1:]}"
        )
        yield api.Notice(f"{reason}.")
    elif params.base_precision == "offload" and storage == "full":
        yield api.Notice("The base model is not offloaded, since this device has no memory of its own.")
    if params.text_encoder == "on" and not adapter.text_encoder:
        yield api.Notice(f"The text encoders of {base.title} are not trained, its transformer alone.", "warning")
    return settings.with_base(adapter, storage, _choose_weighting(params, settings, base.components))


def forecast_settings(params: DiffusionTrainingParams, settings: Settings, family: str) -> Settings:
    """Return the settings that a family of base models allows, before the model is loaded."""
    flow = next((flow for flow in FLOW_FAMILIES.values() if flow.name == family), None)
    if flow is None:
        return settings
    layers = settings.adapter.layers if settings.adapter.layers in flow.layers else [*flow.layers][-1]
    adapter = replace(settings.adapter, layers=layers, text_encoder=False)
    weighting = "none" if params.weighting == "preset" else params.weighting
    return settings.with_base(adapter, settings.options.storage, weighting)


def _choose_weighting(params: DiffusionTrainingParams, settings: Settings, model: TrainableModel) -> Weighting:
    """Choose the weighting of the loss, of which presets have none for flow matching."""
    is_preset = params.weighting == "preset" and isinstance(model, FlowModel)
    return "none" if is_preset else settings.options.objective.weighting


def _fit_options(model: TrainableModel, options: AdapterOptions) -> AdapterOptions:
    """Return the options without what a model does not have: convolutions, and text encoders that can be trained."""
    layers = options.layers if options.layers in model.layer_names else [*model.layer_names][-1]
    has_text_encoder = len(model.networks) > 1
    return replace(options, layers=layers, text_encoder=options.text_encoder and has_text_encoder)


def _find_lora(ctx: api.Context, choice: str) -> Path:
    path = Path(ctx.model(choice))
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.safetensors"))
    if len(files) != 1:
        raise api.BadInput(f"{path.name} is no folder of a LoRA.", "Choose its safetensors file.")
    return files[0]
