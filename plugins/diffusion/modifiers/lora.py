"""LoRAs: small files that change a model for one image. The model stays loaded, and is left unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints import probe
from ..models.model import Model
from . import lora_conversion, lora_layers
from .lora_deltas import UnfitLayerError, build_delta
from .lora_modules import ModuleIndex

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_TAG = re.compile(r"<lora:([^:<>]+)((?::[^:<>]*)*)>")
_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)")


@dataclass(frozen=True)
class Lora:
    """A LoRA and its weight: 1 as it was trained, 0 without effect, below 0 with the opposite effect."""

    path: Path
    weight: float
    text_encoder_weight: float | None = None
    """None where both networks have the same weight."""


@dataclass(frozen=True)
class LoraTag:
    """A tag in a prompt as the other programs read it.

    ``<lora:name:0.8>`` has one weight, ``<lora:name:0.5:0.8>`` that of the text encoder first, and
    ``<lora:name:te=0.5:unet=0.8>`` names them. A comma may stand for the point.
    """

    name: str
    weight: float = 1.0
    text_encoder_weight: float | None = None
    problem: str = ""
    """Sentence about damage in its weights; empty if there is none."""


def collect_loras(ctx: api.Context, prompt: str, choices: Sequence[str], weights: Sequence[float]) -> list[Lora]:
    """Collect the LoRAs of the form, then those of tags such as ``<lora:name:0.8>`` in the prompt.

    A missing weight is 1. A tag that names no model is left out. Raises BadInput for a file of the form that is
    missing, and for one that is damaged or no LoRA.
    """
    if len(weights) > len(choices):
        raise api.BadInput(f"There are {len(weights)} weights for {len(choices)} LoRAs.", "Remove some weights.")
    named = [*zip(choices, [*weights, *[1.0] * len(choices)], strict=False)]
    loras = [Lora(find_file(ctx, name), weight) for name, weight in named]
    for tag in find_tags(prompt):
        if (model := _find_tagged(ctx, tag.name)) is not None:
            loras.append(Lora(find_file(ctx, model), tag.weight, tag.text_encoder_weight))
    return loras


def find_tags(prompt: str) -> list[LoraTag]:
    """Find the LoRA tags of a prompt."""
    return [_parse_tag(name.strip(), weights) for name, weights in _TAG.findall(prompt)]


def _parse_tag(name: str, weights: str) -> LoraTag:
    numbers: dict[str, float] = {}
    for position, part in enumerate(weights.split(":")[1:3]):
        key, equals, text = part.rpartition("=")
        text = text.strip()
        if _NUMBER.fullmatch(text):
            network = key.strip() if equals else ("te", "unet")[position]
            numbers[network] = float(text.replace(",", "."))
        elif text:
            return LoraTag(name, problem=f"{text} is no weight, so 1 is used")
    encoder = numbers.get("te", 1.0)
    weight = numbers.get("unet", encoder)
    return LoraTag(name, weight, None if encoder == weight else encoder)


def _find_tagged(ctx: api.Context, name: str) -> str | None:
    """Return the model choice that a tag names, which may be in a subfolder; None if there is none."""
    for choice in (name, f"{name}.safetensors"):
        try:
            if isinstance(ctx.model(choice), Path):
                return choice
        except api.BadInput:
            continue
    wanted = tuple(part.casefold() for part in f"{name}.safetensors".replace("\\", "/").split("/"))
    known = [*ctx.available_models("lora").values(), *ctx.downloads.rglob("*.safetensors")]
    for path in known:
        if tuple(part.casefold() for part in path.parts[-len(wanted) :]) == wanted:
            return str(path)
    return None


def _tell_about_tags(ctx: api.Context, prompt: str) -> None:
    for tag in find_tags(prompt):
        if tag.problem:
            ctx.emit(api.Notice(f"<lora:{tag.name}>: {tag.problem}.", "warning"))
        if _find_tagged(ctx, tag.name) is None:
            ctx.emit(
                api.Notice(f"There is no LoRA named {tag.name}, so its tag in the prompt has no effect.", "warning")
            )


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
    _tell_about_tags(ctx, params.prompt)
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
        raise no_place_error(_describe_model(model), file)
    refused: dict[str, str] = {}
    for layer, module in found:
        if module is None:
            continue
        try:
            delta = build_delta(layer, module)
        except UnfitLayerError as error:
            refused[layer.module] = str(error)
            continue
        weight = lora.weight
        if lora.text_encoder_weight is not None and modules.is_in_text_encoder(module):
            weight = lora.text_encoder_weight
        if weight:
            delta.to(ctx.device, ctx.dtype).attach(module, weight, hooks)
    if refused:
        raise unfit_error(_describe_model(model), file, *next(iter(refused.items())))
    tell_rest(ctx, model.title, file, [*homeless, *file.unknown])
    return None


def _convert(
    ctx: api.Context, model: Model, pipe: DiffusionPipeline, modules: ModuleIndex, file: lora_layers.LoraFile, name: str
) -> None:
    """Load a file whose names diffusers converts, such as those of the first program for FLUX."""
    misfit = no_place_error(_describe_model(model), file)
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
    tell_rest(ctx, model.title, file, [*conversion.homeless, *file.unknown])


def _unload(pipe: DiffusionPipeline) -> None:
    pipe.unload_lora_weights()


def no_place_error(model: str, file: lora_layers.LoraFile) -> api.BadInput:
    """Return the error of a file that has no layer for a model, which is named in words."""
    count = len(file.layers)
    layers = "its only layer has no place" if count == 1 else f"none of its {count} layers has a place"
    example = file.layers[0].module if file.layers else file.unknown[0] if file.unknown else ""
    return api.BadInput(
        f"{file.path.name} is {file.description}, and {layers} in {model}{f', such as {example}' if example else ''}.",
        "Choose one for this model.",
    )


def unfit_error(model: str, file: lora_layers.LoraFile, layer: str, reason: str) -> api.BadInput:
    """Return the error of a file with a layer that cannot be applied to a model, which is named in words."""
    return api.BadInput(
        f"{file.path.name} is {file.description} and does not fit {model}: its layer {layer} {reason}.",
        "Choose one for this model.",
    )


def _describe_model(model: Model) -> str:
    return f"{model.title} ({model.family.title})"


def tell_rest(ctx: api.Context, model: str, file: lora_layers.LoraFile, homeless: Sequence[str]) -> None:
    """Emit a notice about the layers that have no place in a model, if there are any."""
    if homeless:
        total = len(file.layers) + len(file.unknown)
        ctx.emit(
            api.Notice(
                f"{len(homeless)} of the {total} layers of {file.path.name} found no place in {model}, such as "
                f"{homeless[0]}. The others are applied.",
                "warning",
            )
        )


def find_file(ctx: api.Context, name: str) -> Path:
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
