"""Too little memory leads to a slower picture, not to none, and never to a smaller one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio import api

from . import sequential_batch

if TYPE_CHECKING:
    from .model import Model

MODEL_OFFLOAD, GROUP_OFFLOAD = "model offload", "group offload"


@dataclass(frozen=True)
class MemoryShortage:
    """Where memory ran out. `batch` is how many pictures the denoiser was asked for at once."""

    pipe: Any
    device: str
    batch: int = 0


@dataclass(frozen=True)
class Fallback:
    """A step of the ladder. `take` returns whether it changed anything."""

    name: str
    sentence: str
    take: Callable[[MemoryShortage], bool]


def run_with_fallbacks(ctx: api.Context, model: Model, pipe: Any, attempt: Callable[[], Any]) -> Any:
    """The result of `attempt()`, which is tried again one rung lower each time that memory runs out.

    Raises OutOfMemory when there is no rung left.
    """
    import torch

    with sequential_batch.track_largest_batch(pipe) as asked:
        for rung in (None, *FALLBACKS):
            if rung is not None:
                if rung.name in model.fallbacks or not rung.take(MemoryShortage(pipe, ctx.device, asked.size)):
                    continue
                model.fallbacks.append(rung.name)
                ctx.emit(api.Notice(rung.sentence, "warning"))
            try:
                return attempt()
            except torch.OutOfMemoryError:
                pass
            # Outside the handler, where the exception no longer holds the frames of the loop.
            _give_back()
    raise api.OutOfMemory(
        f"{model.title} needs more memory than there is, even with every way to save some.",
        "Choose a smaller size or a smaller model.",
    )


def _tile(need: MemoryShortage) -> bool:
    return _switched_on(need.pipe, "enable_tiling", "use_tiling")


def _slice(need: MemoryShortage) -> bool:
    return _switched_on(need.pipe, "enable_slicing", "use_slicing")


def _switched_on(pipe: Any, method: str, flag: str) -> bool:
    vae = getattr(pipe, "vae", None)
    if not hasattr(vae, method) or getattr(vae, flag, False):
        return False
    getattr(vae, method)()
    return True


def _slice_attention(need: MemoryShortage) -> bool:
    """One head's worth at a time. Newer denoisers have no such switch."""
    if not hasattr(getattr(need.pipe, "unet", None), "set_attention_slice"):
        return False
    need.pipe.enable_attention_slicing("max")
    return True


def _guide_apart(need: MemoryShortage) -> bool:
    if need.batch < 2:
        return False
    sequential_batch.split_batches(need.pipe)
    return True


def offload_models(need: MemoryShortage) -> bool:
    """Each model is on the device only while it is used."""
    if need.device == "cpu":
        return False
    need.pipe.enable_model_cpu_offload(device=need.device)
    return True


def offload_groups(need: MemoryShortage) -> bool:
    """Each layer is on the device only while it is used."""
    import torch

    if need.device == "cpu":
        return False
    need.pipe.remove_all_hooks()
    need.pipe.enable_group_offload(
        torch.device(need.device),
        torch.device("cpu"),
        offload_type="leaf_level",
        use_stream=need.device.startswith("cuda"),
    )
    return True


FALLBACKS = (
    Fallback("vae tiling", "Memory ran out: the picture is now decoded in tiles.", _tile),
    Fallback("vae slicing", "Memory ran out again: pictures are now decoded one at a time.", _slice),
    Fallback("attention slicing", "Memory ran out again: attention is now computed in slices.", _slice_attention),
    Fallback("smaller batch", "Memory ran out again: the two halves of guidance now follow one another.", _guide_apart),
    Fallback(MODEL_OFFLOAD, "Memory ran out again: parts of the model now wait in main memory.", offload_models),
    Fallback(
        GROUP_OFFLOAD, "Memory ran out again: each layer now waits in main memory, which is slow.", offload_groups
    ),
)


def _give_back() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
