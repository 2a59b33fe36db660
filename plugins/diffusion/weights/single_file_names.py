"""The names that diffusers gives to the tensors of a single file, and the rows of the file that each of them has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from studio import api

from ..checkpoints.families import DENOISERS, FAMILIES, Task
from ..checkpoints.probe import UNET, Shapes
from ..checkpoints.single_file import LoadPlan

if TYPE_CHECKING:
    from torch import Tensor

Span: TypeAlias = tuple[str, int, int]
"""A tensor of a file, the first of its rows, and the row after the last one."""
Convert: TypeAlias = Callable[[dict[str, "Tensor"]], Mapping[str, "Tensor"]]


def read_names(plan: LoadPlan) -> Iterator[tuple[str, str, list[Span]]]:
    """Yield component, name in diffusers and rows of each tensor that diffusers converts row by row.

    The conversion runs over numbers of rows in place of weights, and where the numbers arrive is where the rows go.
    """
    for component, prefix, convert in _list_conversions(plan):
        shapes = {name: shape for name, shape in plan.shapes.items() if name.startswith(prefix) and shape}
        for name, spans in _trace(shapes, convert).items():
            yield component, name, spans


def find_denoiser(plan: LoadPlan) -> tuple[str, str]:
    """Return component and class name of a file's denoiser."""
    for name, component in plan.layout.components.items():
        if name in DENOISERS:
            return name, component.class_name
    pipeline = FAMILIES[plan.layout.families[0]].pipeline_class(Task.TEXT_TO_IMAGE)
    types: Mapping[str, tuple[type, ...]] = pipeline._get_signature_types()
    return next((name, types[name][0].__name__) for name in DENOISERS if name in types)


def _list_conversions(plan: LoadPlan) -> Iterator[tuple[str, str, Convert]]:
    component, class_name = find_denoiser(plan)
    prefix = UNET if any(name.startswith(UNET) for name in plan.shapes) else ""
    yield component, prefix, _denoiser_conversion(plan, component, class_name)
    for prefix, encoder, is_open_clip in _TEXT_ENCODERS:
        if any(name.startswith(prefix) for name in plan.shapes):
            yield encoder, prefix, _open_clip_conversion(prefix) if is_open_clip else _prefix_removal(prefix)


_TEXT_ENCODERS = (
    ("cond_stage_model.transformer.", "text_encoder", False),
    ("cond_stage_model.model.", "text_encoder", True),
    ("conditioner.embedders.0.transformer.", "text_encoder", False),
    ("conditioner.embedders.0.model.", "text_encoder_2", True),
    ("conditioner.embedders.1.model.", "text_encoder_2", True),
    ("text_encoders.clip_l.transformer.", "text_encoder", False),
    ("text_encoders.clip_g.transformer.", "text_encoder_2", False),
    ("text_encoders.t5xxl.transformer.", "text_encoder_3", False),
)
"""Prefixes of text encoders, their components, and whether they are in the layout of OpenCLIP."""


def _denoiser_conversion(plan: LoadPlan, component: str, class_name: str) -> Convert:
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    config = dict(plan.layout.components[component].config) if component in plan.layout.components else {}
    config |= plan.layout.read_denoiser_config(plan.shapes)
    mapping: Any = SINGLE_FILE_LOADABLE_CLASSES.get(class_name, {}).get("checkpoint_mapping_fn")

    def convert(tensors: dict[str, Tensor]) -> Mapping[str, Tensor]:
        plain = _prefix_removal(UNET)(tensors)
        if mapping is None:
            return plain
        try:
            with api.model_files.quiet_load():
                converted: Mapping[str, Tensor] = mapping(config=config, checkpoint=dict(tensors))
        except api.model_files.UNREADABLE:  # a file in diffusers' own layout
            return plain
        return converted or plain

    return convert


def _open_clip_conversion(prefix: str) -> Convert:
    def convert(tensors: dict[str, Tensor]) -> Mapping[str, Tensor]:
        from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

        width = next((len(value) // 3 for name, value in tensors.items() if name.endswith("in_proj_weight")), 0)
        model = SimpleNamespace(config=SimpleNamespace(hidden_size=width))
        converted: Mapping[str, Tensor] = convert_open_clip_checkpoint(model, tensors, prefix=prefix)
        return converted

    return convert


def _prefix_removal(prefix: str) -> Convert:
    return lambda tensors: {name.removeprefix(prefix): value for name, value in tensors.items()}


def _trace(shapes: Shapes, convert: Convert) -> dict[str, list[Span]]:
    import torch

    numbered, first, starts = {}, 0, []
    for name, shape in shapes.items():
        numbered[name] = torch.arange(first, first + shape[0]).reshape(-1, *[1] * (len(shape) - 1))
        starts.append(first)
        first += shape[0]
    converted = convert(numbered)
    return {
        name: _find_spans(rows.flatten(), list(shapes), torch.tensor(starts))
        for name, rows in converted.items()
        if rows.numel() == rows.shape[0]
    }


def _find_spans(rows: Tensor, names: list[str], starts: Tensor) -> list[Span]:
    """Join rows that follow each other in one tensor."""
    import torch

    tensors = torch.bucketize(rows, starts, right=True) - 1
    breaks = (rows.diff() != 1) | (tensors.diff() != 0)
    edges = [0, *(breaks.nonzero().flatten() + 1).tolist(), len(rows)]
    spans = []
    for first, last in pairwise(edges):
        number = int(tensors[first])
        row = int(rows[first] - starts[number])
        spans.append((names[number], row, row + last - first))
    return spans
