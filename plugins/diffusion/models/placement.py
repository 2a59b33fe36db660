"""Placement and precision of a model's weights, chosen by the memory that is free before anything runs.

An accelerator with memory of its own takes all of a model, or one component at a time, or one layer at a time. Moving
weights does not help a device that shares the machine's memory (a CPU, an Apple GPU): on a CPU, weights that do not fit
in 32 bits are held in 16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from studio import api

from ..checkpoints import metadata
from . import oom_ladder

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

    from .model import Model

T = TypeVar("T")
MAX_WORKSPACE = 2 << 30
"""Bytes that stay free for activations: half as many as the weights take, up to this many."""
HALF_PRECISION = "16 bit weights"
"""Name of the measure in the recipe's notes."""
_OWN_MEMORY = ("cuda", "xpu")
_is_last_try: ContextVar[bool] = ContextVar("is_last_try", default=False)


class Placement(Enum):
    """Place of the weights while they are not used."""

    DEVICE = "on the device"
    MODEL_OFFLOAD = oom_ladder.MODEL_OFFLOAD
    GROUP_OFFLOAD = oom_ladder.GROUP_OFFLOAD


class Precision(Enum):
    """Number of bytes that a weight takes."""

    FULL = 4
    HALF = 2
    TOO_LARGE = 0
    """The weights do not fit even in half precision."""


class DtypeOverride(api.ContextProxy):
    """A job's context with another dtype."""

    def __init__(self, ctx: api.Context, dtype: torch.dtype) -> None:
        super().__init__(ctx)
        self._dtype = dtype

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype


class HostContext(api.ContextProxy):
    """A job's context with the CPU for its device, for models that are only partly moved to the job's own."""

    @property
    def device(self) -> str:
        return "cpu"


def choose_placement(component_bytes: Sequence[int], free_bytes: int) -> Placement:
    """Choose the placement of a model whose components take so many bytes, with so many free on the device."""
    if _add_workspace(sum(component_bytes)) <= free_bytes:
        return Placement.DEVICE
    largest = _add_workspace(max(component_bytes, default=0))
    return Placement.MODEL_OFFLOAD if largest <= free_bytes else Placement.GROUP_OFFLOAD


def choose_precision(weight_count: int, free_bytes: int, swap_bytes: int = 0) -> Precision:
    """Choose the precision of weights by the free memory of the machine and its swap, which is slow."""
    if _add_workspace(weight_count * Precision.FULL.value) <= free_bytes:
        return Precision.FULL
    fits = _add_workspace(weight_count * Precision.HALF.value) <= free_bytes + swap_bytes
    return Precision.HALF if fits else Precision.TOO_LARGE


def load_cached(ctx: api.Context, key: str, loader: Callable[[], T]) -> T:
    """Load through `ctx.models`, which drops other models before this one is offloaded or held in 16 bits."""
    import torch

    try:
        return ctx.models.load(key, loader)
    except torch.OutOfMemoryError:
        pass
    token = _is_last_try.set(True)
    try:
        return ctx.models.load(key, loader)
    finally:
        _is_last_try.reset(token)


def context_that_fits(ctx: api.Context, *paths: Path) -> api.Context:
    """Return the context to load these files and folders with: `ctx`, or one of 16 bits on a CPU short of memory.

    Raises torch.OutOfMemoryError where the weights would be offloaded or held in 16 bits while other models could be
    dropped, and OutOfMemory where the machine cannot hold them at all.
    """
    import torch

    weight_count = sum(_count_weights(path) for path in paths)
    quantized = sum(map(metadata.count_quantized_bytes, paths))
    free, swap = free_memory(ctx.device)
    free = max(0, free - quantized)
    if has_own_memory(ctx.device):
        placement = choose_placement([weight_count * ctx.dtype.itemsize], free)
        if placement is not Placement.DEVICE and not _is_last_try.get():
            raise torch.OutOfMemoryError
        return ctx
    is_cpu = _device_type(ctx.device) == "cpu"
    precision = choose_precision(weight_count, free, swap) if is_cpu else Precision.FULL
    if precision is Precision.FULL or ctx.dtype.itemsize <= precision.value:
        return ctx
    if not _is_last_try.get():
        raise torch.OutOfMemoryError
    if precision is Precision.TOO_LARGE:
        raise api.OutOfMemory(
            f"{paths[0].name} needs {api.format_memory(weight_count * 2 + quantized)} of memory even in 16 bits, and "
            f"{api.format_memory(free + quantized)} are free.",
            "Close other programs, or choose a smaller model.",
        )
    return DtypeOverride(ctx, torch.bfloat16)


def with_model_dtype(ctx: api.Context, model: Model) -> api.Context:
    """Return the context for the additions to a loaded model, with the dtype of that model."""
    return DtypeOverride(ctx, model.base.dtype) if HALF_PRECISION in model.fallbacks else ctx


def place_pipeline(pipe: DiffusionPipeline, ctx: api.Context, fit: Callable[[], T]) -> tuple[list[str], T]:
    """Move a pipeline to where it can run, and call `fit()` while its components are in one place.

    Returns the names of the measures that were taken to save memory, of which the artist is told, and the result of
    `fit()`.
    """
    import torch

    measures = []
    if isinstance(ctx, DtypeOverride):
        measures.append(HALF_PRECISION)
        ctx.emit(
            api.Notice("Memory is short: the model is loaded in 16 bits, which changes images a little.", "warning")
        )
    components = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    placement = Placement.DEVICE
    if has_own_memory(ctx.device):
        placement = choose_placement([_size_in_bytes(part) for part in components], free_memory(ctx.device)[0])
    if placement is Placement.DEVICE:
        pipe.to(ctx.device)
        return measures, fit()
    result = fit()
    shortage = oom_ladder.MemoryShortage(pipe, ctx.device)
    if placement is Placement.MODEL_OFFLOAD:
        oom_ladder.offload_models(shortage)
        ctx.emit(api.Notice("The model is larger than the device: its parts stay in main memory until they are used."))
    else:
        oom_ladder.offload_groups(shortage)
        ctx.emit(
            api.Notice("The model is much larger than the device: each layer stays in main memory, which is slow.")
        )
    return [*measures, placement.value], result


def has_own_memory(device: str) -> bool:
    """Check that a device has memory apart from that of the machine."""
    return _device_type(device) in _OWN_MEMORY


def free_memory(device: str) -> tuple[int, int]:
    """Return the free bytes of the device and of swap; of the machine where the device has no memory of its own."""
    import psutil
    import torch

    device_type = _device_type(device)
    if device_type in _OWN_MEMORY:
        return int(getattr(torch, device_type).mem_get_info(device)[0]), 0
    return psutil.virtual_memory().available, psutil.swap_memory().free


def _add_workspace(weight_bytes: int) -> int:
    return weight_bytes + min(MAX_WORKSPACE, weight_bytes // 2)


def _device_type(device: str) -> str:
    return device.partition(":")[0]


def _count_weights(path: Path) -> int:
    folders = [part for part in path.iterdir() if part.is_dir()] if path.is_dir() else []
    return metadata.count_weights(path) + sum(map(metadata.count_weights, folders))


def _size_in_bytes(module: torch.nn.Module) -> int:
    tensors = (*module.parameters(), *module.buffers())
    return sum(math.prod(tensor.shape) * tensor.dtype.itemsize for tensor in tensors)
