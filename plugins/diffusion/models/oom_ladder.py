"""Fallbacks for a lack of memory: they make an image slower, and never smaller, before the job fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from studio import api

from . import sequential_batch

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from .model import Model

T = TypeVar("T")
MODEL_OFFLOAD, GROUP_OFFLOAD = "model offload", "group offload"


@dataclass(frozen=True)
class MemoryShortage:
    """State in which memory ran out; `batch_size` is that of the largest batch that a denoiser received."""

    pipe: DiffusionPipeline
    device: str
    batch_size: int = 0


@dataclass(frozen=True)
class Fallback:
    """A way to save memory.

    `name` stands in the recipe's notes; `sentence` is shown to the artist. `apply` returns False if nothing changes.
    """

    name: str
    sentence: str
    apply: Callable[[MemoryShortage], bool]


def run_with_fallbacks(ctx: api.Context, model: Model, pipe: DiffusionPipeline, attempt: Callable[[], T]) -> T:
    """Return the result of `attempt()`, repeated with one more fallback each time that memory runs out.

    Raises OutOfMemory where no fallback is left.
    """
    import torch

    with sequential_batch.track_largest_batch(pipe) as largest_batch:
        for fallback in (None, *FALLBACKS):
            if fallback is not None:
                shortage = MemoryShortage(pipe, ctx.device, largest_batch.size)
                if fallback.name in model.fallbacks or not fallback.apply(shortage):
                    continue
                model.fallbacks.append(fallback.name)
                ctx.emit(api.Notice(fallback.sentence, "warning"))
            try:
                return attempt()
            except torch.OutOfMemoryError:
                pass
            # Outside the handler, where the exception no longer holds the frames of the loop.
            _free_cached_memory()
    raise api.OutOfMemory(
        f"{model.title} needs more memory than there is, even with every way to save some.",
        "Choose a smaller size or a smaller model.",
    )


def _tile_autoencoder(shortage: MemoryShortage) -> bool:
    return _switch_on(shortage.pipe, "enable_tiling", "use_tiling")


def _slice_autoencoder(shortage: MemoryShortage) -> bool:
    return _switch_on(shortage.pipe, "enable_slicing", "use_slicing")


def _switch_on(pipe: DiffusionPipeline, method: str, flag: str) -> bool:
    vae = getattr(pipe, "vae", None)
    if not hasattr(vae, method) or getattr(vae, flag, False):
        return False
    getattr(vae, method)()
    return True


def _slice_attention(shortage: MemoryShortage) -> bool:
    """Compute attention one head at a time. Newer denoisers have no such switch."""
    if not hasattr(getattr(shortage.pipe, "unet", None), "set_attention_slice"):
        return False
    shortage.pipe.enable_attention_slicing("max")
    return True


def _split_guidance_batch(shortage: MemoryShortage) -> bool:
    if shortage.batch_size < 2:
        return False
    sequential_batch.split_batches(shortage.pipe)
    return True


def offload_models(shortage: MemoryShortage) -> bool:
    """Keep each component on the device only while it runs."""
    if shortage.device == "cpu":
        return False
    shortage.pipe.enable_model_cpu_offload(device=shortage.device)
    return True


def offload_groups(shortage: MemoryShortage) -> bool:
    """Keep each layer on the device only while it runs."""
    import torch

    if shortage.device == "cpu":
        return False
    shortage.pipe.remove_all_hooks()
    shortage.pipe.enable_group_offload(
        torch.device(shortage.device),
        torch.device("cpu"),
        offload_type="leaf_level",
        use_stream=shortage.device.startswith("cuda"),
    )
    return True


FALLBACKS = (
    Fallback("vae tiling", "Memory ran out: the image is now decoded in tiles.", _tile_autoencoder),
    Fallback("vae slicing", "Memory ran out again: images are now decoded one at a time.", _slice_autoencoder),
    Fallback("attention slicing", "Memory ran out again: attention is now computed in slices.", _slice_attention),
    Fallback(
        "smaller batch",
        "Memory ran out again: prompt and negative prompt are now computed one after the other.",
        _split_guidance_batch,
    ),
    Fallback(
        MODEL_OFFLOAD,
        "Memory ran out again: parts of the model now stay in main memory until they are used.",
        offload_models,
    ),
    Fallback(
        GROUP_OFFLOAD,
        "Memory ran out again: each layer now stays in main memory until it is used, which is slow.",
        offload_groups,
    ),
)


def _free_cached_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
