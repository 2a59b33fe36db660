"""LoRAs: small files that change a model for one image. The model stays loaded, and is left unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints import lora_names, probe
from ..models.model import Model
from . import lora_conversion, lora_layers
from .lora_deltas import UnfitLayerError, build_delta
from .lora_modules import ModuleIndex

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
    """Let the pipeline compute with the chosen LoRAs until the block ends.

    Layers whose names are those of the pipeline's modules are applied by hooks. Names that belong to another program's
    network of the same family are left to diffusers, which knows how to convert them.
    """
    loras = collect_loras(ctx, params.prompt, params.loras, params.lora_weights)
    if not loras:
        yield {}
        return
    modules = ModuleIndex(pipe)
    converted: dict[str, float] = {}
    with ExitStack() as hooks:
        for lora in loras:
            if (file := _attach(ctx, model, pipe, modules, lora, hooks)) is None:
                continue
            if not converted:
                hooks.callback(_unload, pipe)
            name = f"lora_{len(converted)}"
            converted[name] = lora.weight
            _convert(ctx, model, pipe, modules, file, name)
        if converted:
            pipe.set_adapters(list(converted), list(converted.values()))
        yield {}


def _attach(
    ctx: api.Context, model: Model, pipe: DiffusionPipeline, modules: ModuleIndex, lora: Lora, hooks: ExitStack
) -> lora_layers.LoraFile | None:
    """Attach a file's layers to their modules. Returns the file where diffusers has to convert it instead."""
    file = lora_layers.read_file(lora.path)
    found = [(layer, modules.find(layer.module)) for layer in file.layers]
    homeless = [layer.module for layer, module in found if module is None]
    if homeless and getattr(pipe, "unet", None) is None and hasattr(pipe, "load_lora_weights"):
        return file
    if len(homeless) == len(found):
        raise _no_place_error(model, file)
    refused: dict[str, str] = {}
    for layer, module in found:
        if module is None:
            continue
        try:
            delta = build_delta(layer, module)
        except UnfitLayerError as error:
            refused[layer.module] = str(error)
            continue
        if lora.weight:
            delta.to(ctx.device, ctx.dtype).attach(module, lora.weight, hooks)
    if refused:
        name, reason = next(iter(refused.items()))
        raise api.BadInput(
            f"{lora.path.name} is {_describe(file)} and does not fit {model.title} ({model.family.title}): "
            f"its layer {name} {reason}.",
            "Choose one for this model.",
        )
    _tell_rest(ctx, model, file, [*homeless, *file.unknown])
    return None


def _convert(
    ctx: api.Context, model: Model, pipe: DiffusionPipeline, modules: ModuleIndex, file: lora_layers.LoraFile, name: str
) -> None:
    """Load a file whose names diffusers converts, such as those of the first program for FLUX."""
    misfit = _no_place_error(model, file)
    with api.model_files.quiet_load(misfit):
        conversion = lora_conversion.convert(pipe, modules, file)
        if len(conversion.homeless) == len(file.layers):
            raise misfit
        if len(conversion.tensors) == len(file.tensors):
            pipe.load_lora_weights(
                str(file.path.parent), weight_name=file.path.name, adapter_name=name, local_files_only=True
            )
        else:
            pipe.load_lora_weights(dict(conversion.tensors), adapter_name=name)
    if not any(name in adapters for adapters in pipe.get_list_adapters().values()):
        raise misfit
    _tell_rest(ctx, model, file, [*conversion.homeless, *file.unknown])


def _unload(pipe: DiffusionPipeline) -> None:
    pipe.unload_lora_weights()


def _no_place_error(model: Model, file: lora_layers.LoraFile) -> api.BadInput:
    count = len(file.layers)
    layers = "its only layer has no place" if count == 1 else f"none of its {count} layers has a place"
    example = file.layers[0].module if file.layers else file.unknown[0] if file.unknown else ""
    return api.BadInput(
        f"{file.path.name} is {_describe(file)}, and {layers} in {model.title} ({model.family.title})"
        f"{f', such as {example}' if example else ''}.",
        "Choose one for this model.",
    )


def _describe(file: lora_layers.LoraFile) -> str:
    return lora_names.describe({name: tuple(value.shape) for name, value in file.tensors.items()})


def _tell_rest(ctx: api.Context, model: Model, file: lora_layers.LoraFile, homeless: Sequence[str]) -> None:
    if homeless:
        total = len(file.layers) + len(file.unknown)
        ctx.emit(
            api.Notice(
                f"{len(homeless)} of the {total} layers of {file.path.name} found no place in {model.title}, such as "
                f"{homeless[0]}. The others are applied.",
                "warning",
            )
        )


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
