"""The weights of a model on the disk, tensor by tensor: of a diffusers folder or a single file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

from ..checkpoints import diffusers_folder, families, hub_files, probe, single_file, weight_variants
from ..checkpoints.families import DENOISERS, Family
from ..modifiers.lora_modules import ModuleNames
from . import single_file_names

if TYPE_CHECKING:
    from torch import Tensor

TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
_FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Rows:
    """Rows of a tensor in a file: from `first` on, up to the one before `last`."""

    file: Path
    tensor: str
    first: int
    last: int

    @property
    def key(self) -> tuple[Path, str]:
        return self.file, self.tensor


@dataclass(frozen=True)
class Weight:
    """A tensor of a model, by component and by its name there, and the rows of files that it consists of."""

    component: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    rows: tuple[Rows, ...]

    def read(self) -> Tensor:
        """Read the tensor as it is stored, on the CPU."""
        import torch
        from safetensors import safe_open

        parts = []
        for rows in self.rows:
            with safe_open(rows.file, "pt") as file:
                parts.append(file.get_slice(rows.tensor)[rows.first : rows.last])
        return parts[0] if len(parts) == 1 else torch.cat(parts)


@dataclass(frozen=True)
class Layer:
    """A module with weights, and perhaps a bias."""

    component: str
    name: str
    weight: Weight
    bias: Weight | None


@dataclass(frozen=True)
class ModelWeights:
    """The denoiser and the text encoders of a model on the disk. `path` is its folder or its single file."""

    title: str
    path: Path
    family: Family
    pipeline: str
    """Class name of the pipeline."""
    weights: Mapping[tuple[str, str], Weight]
    """Tensors by component and by their names in diffusers."""
    own_names: Mapping[tuple[str, str], Weight]
    """Tensors of the denoiser in a single file by the names that the file gives them."""
    config: Mapping[str, object]
    """Configuration of the denoiser."""
    components: Path | None = None
    """Folder that provides what a single file lacks."""

    @property
    def description(self) -> str:
        return f"{self.title} ({self.family.title})"

    @property
    def denoiser(self) -> str:
        return next(name for name in DENOISERS if any(component == name for component, _ in self.weights))

    @property
    def layers_per_block(self) -> int:
        value = self.config.get("layers_per_block")
        return value if isinstance(value, int) else 2

    @property
    def is_xl(self) -> bool:
        return self.pipeline.startswith("StableDiffusionXL")

    @cached_property
    def layers(self) -> dict[tuple[str, str], Layer]:
        """Layers by component and by their names in diffusers."""
        return _find_layers(self.weights)

    @cached_property
    def names(self) -> ModuleNames[Layer]:
        """Layers by the names that LoRA files give them."""
        modules: dict[str, dict[str, Layer]] = {}
        for (component, name), layer in {**_find_layers(self.own_names), **self.layers}.items():
            modules.setdefault(component, {})[name] = layer
        return ModuleNames(modules, self.layers_per_block)


def open_model(ctx: api.Context, choice: str) -> ModelWeights:
    """Read the headers of a model. Raises BadInput for one that is missing, damaged, quantised, or no such model."""
    location = ctx.model(choice)
    path = location if isinstance(location, Path) else hub_files.fetch_pipeline(location, ctx)
    path = single_file.find_in_folder(path)
    if path.is_file():
        return _open_file(ctx, path)
    return _open_folder(path)


def list_component_files(folder: Path) -> list[Path]:
    """List the safetensors of a component that are loaded."""
    _, names = weight_variants.choose_variant(file.name for file in folder.iterdir())
    return [folder / name for name in names if name.endswith(".safetensors")]


def _open_folder(path: Path) -> ModelWeights:
    folder = diffusers_folder.inspect_folder(path)
    family = families.family_of(folder.pipeline)
    weights: dict[tuple[str, str], Weight] = {}
    for component in folder.classes:
        if component not in (*DENOISERS, *TEXT_ENCODERS) or component in folder.borrowed:
            continue
        if diffusers_folder.read_json(path / component, "config.json").get("quantization_config"):
            raise _quantised_error(path.name)
        for file in list_component_files(path / component):
            for tensor, (dtype, shape) in _read_types(file).items():
                if component in DENOISERS:
                    _check_dtype(path.name, dtype, shape)
                name = tensor.removeprefix("text_model.") if component in TEXT_ENCODERS else tensor
                rows = Rows(file, tensor, 0, shape[0] if shape else 1)
                if shape and dtype in _FLOATS:
                    weights[component, name] = Weight(component, name, shape, dtype, (rows,))
    denoiser = next((name for name in DENOISERS if name in folder.classes), "")
    if not denoiser:
        raise api.BadInput(f"{path.name} has no denoiser that a LoRA could change.", "Choose another model.")
    config = diffusers_folder.read_json(path / denoiser, "config.json")
    title = diffusers_folder.title_of(path)
    return ModelWeights(title, path, family, folder.pipeline, weights, {}, config)


def _open_file(ctx: api.Context, path: Path) -> ModelWeights:
    if probe.is_gguf(path):
        raise _quantised_error(path.name)
    plan = single_file.plan_load(ctx, path)
    types = _read_types(path)
    component, _ = single_file_names.find_denoiser(plan)
    for tensor, (dtype, shape) in types.items():
        if tensor.startswith(probe.UNET) or not any(name.startswith(probe.UNET) for name in types):
            _check_dtype(path.name, dtype, shape)
    weights: dict[tuple[str, str], Weight] = {}
    for part, tensor, spans in single_file_names.read_names(plan):
        name = tensor.removeprefix("text_model.") if part in TEXT_ENCODERS else tensor
        dtype, shape = types[spans[0][0]]
        if dtype in _FLOATS:
            rows = tuple(Rows(path, *span) for span in spans)
            count = sum(span[2] - span[1] for span in spans)
            weights[part, name] = Weight(part, name, (count, *shape[1:]), dtype, rows)
    own_names = {
        (component, tensor.removeprefix(probe.UNET)): Weight(
            component, tensor.removeprefix(probe.UNET), shape, dtype, (Rows(path, tensor, 0, shape[0]),)
        )
        for tensor, (dtype, shape) in types.items()
        if shape and not tensor.startswith(_NOT_DENOISER)
    }
    layout = plan.layout.components.get(component)
    config = {**(layout.config if layout else {}), **plan.layout.read_denoiser_config(plan.shapes)}
    family = families.FAMILIES[plan.layout.families[0]]
    pipeline = plan.layout.pipeline or family.pipeline_class(families.Task.TEXT_TO_IMAGE).__name__
    return ModelWeights(path.name, path, family, pipeline, weights, own_names, config, plan.folder)


_NOT_DENOISER = ("first_stage_model.", "vae.", "cond_stage_model.", "conditioner.", "text_encoders.", "model_ema.")


def _find_layers(weights: Mapping[tuple[str, str], Weight]) -> dict[tuple[str, str], Layer]:
    layers = {}
    for (component, name), weight in weights.items():
        module, _, role = name.rpartition(".")
        if role == "weight":
            layers[component, module] = Layer(component, module, weight, weights.get((component, f"{module}.bias")))
    return layers


def _read_types(file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Read dtype and shape of each tensor in a file that is checked before. Raises BadInput for a damaged one."""
    from safetensors import safe_open

    shapes = api.model_files.read_weight_shapes(file)
    damage = api.BadInput(f"{file.name} is damaged.", "Download it again.")
    with api.model_files.quiet_load(damage), safe_open(file, "pt") as opened:
        return {name: (opened.get_slice(name).get_dtype(), shape) for name, shape in shapes.items()}


def _check_dtype(title: str, dtype: str, shape: Iterable[int]) -> None:
    if len([*shape]) > 1 and dtype not in _FLOATS:
        raise _quantised_error(title)


def _quantised_error(title: str) -> api.BadInput:
    return api.BadInput(
        f"{title} is quantised, and the small changes of a LoRA would be lost in its rounding.",
        "Choose the same model with 16 or 32 bits.",
    )


def read_scheduler_config(path: Path) -> Mapping[str, object]:
    """Read the scheduler's configuration of a diffusers folder; an empty one for a single file."""
    file = path / "scheduler" / "scheduler_config.json"
    value = json.loads(file.read_bytes()) if file.is_file() else {}
    return value if isinstance(value, dict) else {}
