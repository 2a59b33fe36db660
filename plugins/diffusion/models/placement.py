"""Where a model's weights go, and in which precision, by what is free before anything runs.

An accelerator with memory of its own takes all of a model, or one of its parts at a time, or one layer at a time.
What shares the machine's memory (a CPU, an Apple GPU) is not helped by moving weights about: on a CPU, weights that
do not fit in 32 bits are held in 16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from studio import api

from ..checkpoints import metadata
from . import oom_ladder

if TYPE_CHECKING:
    import torch

    from .model import Model

M = TypeVar("M")
WORKSPACE = 2 << 30
"""Bytes, at most, that stay free for what is computed on the way: half as many as the weights take, up to this."""
HALF_PRECISION = "16 bit weights"
"""What the note in the recipe calls it."""
_OWN_MEMORY = ("cuda", "xpu")
_last_try: ContextVar[bool] = ContextVar("last_try", default=False)


class Placement(Enum):
    """Where weights are while they are not used."""

    DEVICE = "on the device"
    MODELS = oom_ladder.MODEL_OFFLOAD
    LAYERS = oom_ladder.GROUP_OFFLOAD


class Precision(Enum):
    """How many bytes a weight takes."""

    USUAL = 4
    HALF = 2
    NONE = 0
    """Not even half of them fit."""


class DtypeOverride:
    """A job's context whose models are held in another precision."""

    def __init__(self, ctx: api.Context, dtype: torch.dtype) -> None:
        self._ctx = ctx
        self.dtype = dtype

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)


def choose_placement(parts: Sequence[int], free: int) -> Placement:
    """For a model whose parts take `parts` bytes, with `free` bytes on the device."""
    if _with_work(sum(parts)) <= free:
        return Placement.DEVICE
    return Placement.MODELS if _with_work(max(parts, default=0)) <= free else Placement.LAYERS


def choose_precision(weights: int, free: int, swap: int = 0) -> Precision:
    """For so many weights (numbers, not bytes), with `free` bytes in the machine, and `swap` bytes that are slow."""
    if _with_work(weights * Precision.USUAL.value) <= free:
        return Precision.USUAL
    return Precision.HALF if _with_work(weights * Precision.HALF.value) <= free + swap else Precision.NONE


def load_cached(ctx: api.Context, key: str, loader: Callable[[], M]) -> M:
    """`ctx.models.load`, where other models are dropped before this one is held back for want of room."""
    import torch

    try:
        return ctx.models.load(key, loader)
    except torch.OutOfMemoryError:
        pass
    last = _last_try.set(True)
    try:
        return ctx.models.load(key, loader)
    finally:
        _last_try.reset(last)


def context_that_fits(ctx: api.Context, *paths: Path) -> api.Context:
    """The context to load the weights in these files and folders with: `ctx`, or on a CPU short of memory a narrow one.

    Raises torch.OutOfMemoryError where they would have to be held back, unless there is nothing left to drop, and
    OutOfMemory where the machine cannot hold them at all.
    """
    import torch

    weights = sum(_count(path) for path in paths)
    packed = sum(map(metadata.quantized_bytes, paths))
    free, swap = free_memory(ctx.device)
    free = max(0, free - packed)
    if _kind(ctx) in _OWN_MEMORY:
        if choose_placement([weights * ctx.dtype.itemsize], free) is not Placement.DEVICE and not _last_try.get():
            raise torch.OutOfMemoryError
        return ctx
    wide = choose_precision(weights, free, swap) if _kind(ctx) == "cpu" else Precision.USUAL
    if wide is Precision.USUAL:
        return ctx
    if not _last_try.get():
        raise torch.OutOfMemoryError
    if wide is Precision.NONE:
        raise api.OutOfMemory(
            f"{paths[0].name} needs {api.format_memory(weights * 2 + packed)} of memory even in 16 bits, and "
            f"{api.format_memory(free + packed)} are free.",
            "Close other programs, or choose a smaller model.",
        )
    narrow: Any = DtypeOverride(ctx, torch.bfloat16)
    return narrow  # type: ignore[no-any-return]


def with_model_dtype(ctx: api.Context, model: Model) -> api.Context:
    """The context for what goes with a loaded model, in the precision of that."""
    if HALF_PRECISION not in model.fallbacks:
        return ctx
    narrow: Any = DtypeOverride(ctx, model.base.dtype)
    return narrow  # type: ignore[no-any-return]


def place_pipeline(pipe: Any, ctx: api.Context, fit: Callable[[], M]) -> tuple[list[str], M]:
    """The pipeline where it can run, and what `fit()` gives while its parts are in one place.

    Returns what was done for want of memory, as the ladder names it; it is said, too.
    """
    import torch

    rungs = []
    if isinstance(ctx, DtypeOverride):
        rungs.append(HALF_PRECISION)
        ctx.emit(
            api.Notice("Memory is short: the model is held in 16 bits, which changes pictures a little.", "warning")
        )
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    where = (
        choose_placement([_bytes(part) for part in parts], free_memory(ctx.device)[0])
        if _kind(ctx) in _OWN_MEMORY
        else Placement.DEVICE
    )
    if where is Placement.DEVICE:
        pipe.to(ctx.device)
        return rungs, fit()
    fitted = fit()
    if where is Placement.MODELS:
        oom_ladder.offload_models(oom_ladder.MemoryShortage(pipe, ctx.device))
        ctx.emit(api.Notice("The model is larger than the device: its parts wait in main memory until they are used."))
    else:
        oom_ladder.offload_groups(oom_ladder.MemoryShortage(pipe, ctx.device))
        ctx.emit(
            api.Notice("The model is much larger than the device: each layer waits in main memory, which is slow.")
        )
    return [*rungs, where.value], fitted


def free_memory(device: str) -> tuple[int, int]:
    """Bytes free on the device, and bytes of swap; of the machine where the device has no memory of its own."""
    import psutil
    import torch

    kind = device.partition(":")[0]
    if kind in _OWN_MEMORY:
        return int(getattr(torch, kind).mem_get_info(device)[0]), 0
    return psutil.virtual_memory().available, psutil.swap_memory().free


def _with_work(weights: int) -> int:
    return weights + min(WORKSPACE, weights // 2)


def _kind(ctx: api.Context) -> str:
    return ctx.device.partition(":")[0]


def _count(path: Path) -> int:
    folders = [part for part in path.iterdir() if part.is_dir()] if path.is_dir() else []
    return metadata.count_weights(path) + sum(map(metadata.count_weights, folders))


def _bytes(part: torch.nn.Module) -> int:
    return sum(math.prod(one.shape) * one.dtype.itemsize for one in (*part.parameters(), *part.buffers()))
