"""Too little memory leads to a slower picture, not to none, and never to a smaller one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from studio import api

from .loading import Model


@dataclass(frozen=True)
class Rung:
    """A step of the ladder. `take` returns whether it changed anything."""

    name: str
    sentence: str
    take: Callable[[Any, str], bool]


def within(ctx: api.Context, model: Model, pipe: Any, attempt: Callable[[], Any]) -> Any:
    """The result of `attempt()`, which is tried again one rung lower each time that memory runs out.

    Raises OutOfMemory when there is no rung left.
    """
    import torch

    for rung in (None, *LADDER):
        if rung is not None:
            if rung.name in model.rungs or not rung.take(pipe, ctx.device):
                continue
            model.rungs.append(rung.name)
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


def _tile(pipe: Any, _: str) -> bool:
    return _switched_on(pipe, "enable_tiling", "use_tiling")


def _slice(pipe: Any, _: str) -> bool:
    return _switched_on(pipe, "enable_slicing", "use_slicing")


def _switched_on(pipe: Any, method: str, flag: str) -> bool:
    vae = getattr(pipe, "vae", None)
    if not hasattr(vae, method) or getattr(vae, flag, False):
        return False
    getattr(vae, method)()
    return True


def _guide_apart(pipe: Any, _: str) -> bool:
    """Attention one head's worth at a time. Newer denoisers have no such switch."""
    if not hasattr(getattr(pipe, "unet", None), "set_attention_slice"):
        return False
    pipe.enable_attention_slicing("max")
    return True


def _offload_models(pipe: Any, device: str) -> bool:
    if device == "cpu":
        return False
    pipe.enable_model_cpu_offload(device=device)
    return True


def _offload_groups(pipe: Any, device: str) -> bool:
    import torch

    if device == "cpu":
        return False
    pipe.remove_all_hooks()
    pipe.enable_group_offload(
        torch.device(device), torch.device("cpu"), offload_type="leaf_level", use_stream=device.startswith("cuda")
    )
    return True


LADDER = (
    Rung("vae tiling", "Memory ran out: the picture is now decoded in tiles.", _tile),
    Rung("vae slicing", "Memory ran out again: pictures are now decoded one at a time.", _slice),
    Rung("attention slicing", "Memory ran out again: attention is now computed in slices.", _guide_apart),
    Rung("model offload", "Memory ran out again: parts of the model now wait in main memory.", _offload_models),
    Rung("group offload", "Memory ran out again: each layer now waits in main memory, which is slow.", _offload_groups),
)


def _give_back() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
